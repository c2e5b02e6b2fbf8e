"""lisa-mini from nothing on synthetic scenes: its stages, their warm-up losses, its vocabulary (``config/train/mini.yaml``)."""
