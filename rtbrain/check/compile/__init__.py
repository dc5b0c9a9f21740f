"""Faster forms of a decoder's encoder, admitted only after a check of the decodes."""
