"""The compute backends: one small interface, one module for each library, and the choice between them."""
