"""The electrode panel: contacts where they lie, coloured by high gamma."""
