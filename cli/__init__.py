"""The commands. Nothing heavy is imported before a command runs."""
