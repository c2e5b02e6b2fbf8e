"""ScanNetv2 and synthetic indoor scenes: read, make, bag, replay, score. No torch of its own."""
