"""What surrounds the pages: menus, transport bar, rail, action bar, and what they ask."""
