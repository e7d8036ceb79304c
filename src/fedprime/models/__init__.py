"""The model that is trained around a frozen backbone, and what it predicts."""
