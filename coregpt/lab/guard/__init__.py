"""What is around a training process, so that a technique cannot reach what judges it, or is seen to."""
