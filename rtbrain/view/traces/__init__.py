"""The trace panel."""
