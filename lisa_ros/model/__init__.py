"""LISA itself: configuration, towers, prompt, preprocessing, mask decoder, checkpoint loading, losses. Torch, no ROS."""
