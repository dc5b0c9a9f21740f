"""A decoder scored on a recording that is decoded as if it were live."""
