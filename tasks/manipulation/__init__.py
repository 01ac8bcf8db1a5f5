"""An arm with a gripper, and what tasks with it share."""
