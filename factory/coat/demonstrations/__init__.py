"""COAT demonstrations (Satori App. C): a generator, critics, and the stitching of what they say into one trajectory."""
