"""The command `pressroom`."""
