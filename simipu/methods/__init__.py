"""Pre-training methods: encoders and losses put together."""
