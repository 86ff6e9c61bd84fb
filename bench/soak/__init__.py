"""`make soak`: shops upload while things break at random; afterwards nothing may be lost, doubled or miscounted."""
