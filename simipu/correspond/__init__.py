"""Which LiDAR point lies at which pixel of which image, and whether the camera sees it."""
