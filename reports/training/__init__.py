"""What training did, made visible: figures of its curves and a page about each training."""
