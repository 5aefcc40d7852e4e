"""The viewer in a browser, and a window of Open3D."""
