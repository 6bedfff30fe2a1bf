"""Questions that are answered before anything is built or launched."""
