"""What a channel is, by its label, type and unit: used by every reader of files and streams."""

from rtbrain.channels.kinds import (
    ChannelChoice,
    assign_kinds,
    choose_labels,
    kind_of,
    left_out_note,
    list_kinds,
)
from rtbrain.channels.labels import (
    Matched,
    Place,
    complete_labels,
    find_labels,
    is_glob,
    label_keys,
    match_labels,
    place_of,
    places_of,
)
from rtbrain.channels.statistics import unlike_contacts
from rtbrain.channels.table import ChannelTable, read_channels

__all__ = [
    "ChannelChoice",
    "ChannelTable",
    "Matched",
    "Place",
    "assign_kinds",
    "choose_labels",
    "complete_labels",
    "find_labels",
    "is_glob",
    "kind_of",
    "label_keys",
    "left_out_note",
    "list_kinds",
    "match_labels",
    "place_of",
    "places_of",
    "read_channels",
    "unlike_contacts",
]
