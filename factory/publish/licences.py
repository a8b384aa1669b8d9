"""Which licence of a row fits under which licence of a collection. A table of what the licences say of redistribution, no legal advice.

    conflict("cc-by-nc-4.0", "apache-2.0")   → "it forbids commercial use, which apache-2.0 allows"
    conflict("mit", "apache-2.0")            → ""

Names are the Hub's (https://huggingface.co/docs/hub/repositories-licenses), in any case.
"""

PUBLIC = frozenset({"cc0-1.0", "pddl", "unlicense", "wtfpl", "0bsd", "public-domain"})
PERMISSIVE = frozenset({
    "apache-2.0", "mit", "bsd", "bsd-2-clause", "bsd-3-clause", "isc", "zlib", "afl-3.0", "artistic-2.0", "bsl-1.0", "ecl-2.0", "ncsa",
    "ms-pl",     "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc", "odc-by", "cdla-permissive-1.0", "cdla-permissive-2.0",
})  # fmt: skip
SHARE_ALIKE = {  # under which licences what is made of it may be given on
    "cc-by-sa-3.0": {"cc-by-sa-3.0", "cc-by-sa-4.0"}, "cc-by-sa-4.0": {"cc-by-sa-4.0", "gpl-3.0"}, "odbl": {"odbl"},
    "cc-by-nc-sa-3.0": {"cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0"}, "cc-by-nc-sa-4.0": {"cc-by-nc-sa-4.0"}, "gfdl": {"gfdl"},
    "cdla-sharing-1.0": {"cdla-sharing-1.0"}, "gpl-2.0": {"gpl-2.0"}, "gpl-3.0": {"gpl-3.0", "agpl-3.0"}, "agpl-3.0": {"agpl-3.0"},
    "lgpl-3.0": {"lgpl-3.0", "gpl-3.0", "agpl-3.0"}, "mpl-2.0": {"mpl-2.0", "gpl-3.0", "agpl-3.0"}, "epl-2.0": {"epl-2.0"},
    "eupl-1.2": {"eupl-1.2", "gpl-3.0", "agpl-3.0"},
}  # fmt: skip
NON_COMMERCIAL = frozenset({"cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0"})
NO_DERIVATIVES = frozenset({"cc-by-nd-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0"})
KNOWN = PUBLIC | PERMISSIVE | frozenset(SHARE_ALIKE) | NON_COMMERCIAL | NO_DERIVATIVES


def plain(licence: str) -> str:
    return "-".join(licence.casefold().split())


def conflict(own: str, collection: str) -> str:
    """Why rows under `own` may not stand in a collection under `collection`, "" when they may."""
    own, collection = plain(own), plain(collection)
    if own in NO_DERIVATIVES:
        return "it allows no derivatives, and every row here is one"
    if own == collection:
        return ""
    if own not in KNOWN:
        return "it is none of the licences that can be judged here"
    if collection not in KNOWN:
        return f"whether it goes with {collection!r} cannot be judged here"
    if own in PUBLIC:
        return ""
    if collection in PUBLIC:
        return f"it asks for attribution, which {collection} gives away"
    if own in SHARE_ALIKE:
        return "" if collection in SHARE_ALIKE[own] else f"it wants {' or '.join(sorted(SHARE_ALIKE[own]))} for what is made of it"
    if own in NON_COMMERCIAL and "-nc" not in collection:
        return f"it forbids commercial use, which {collection} allows"
    return ""


def front_matter(licence: str) -> dict[str, str]:
    """The Hub's keys: its own name of the licence, or `other` with the name that it has."""
    known = plain(licence)
    return {"license": known} if known in KNOWN - {"public-domain", "0bsd"} else {"license": "other", "license_name": known}
