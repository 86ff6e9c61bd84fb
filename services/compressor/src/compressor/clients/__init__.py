"""Cloud Storage, where renditions are kept."""
