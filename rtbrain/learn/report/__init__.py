"""What a fit or an evaluation shows: tables, pictures and pages."""
