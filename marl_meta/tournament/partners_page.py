"""The page of a tournament whose entrants share a team."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

import numpy as np

from marl_meta.tournament.page import head, heat_map
from marl_meta.tournament.partners import Partners
from marl_meta.tournament.schedule import Seating

_METHOD = """
The return is that of the whole team. On each variant 0 is what random play earns in the same part of the team, 1 what
the best entrant earns by itself (of the format focal: the background by itself).

Scores are interquartile means over variants, their 95 % intervals stratified bootstraps over seeds.

By number of the game: returns are averaged over variants before they are scaled, and over partners other than itself.
"""


def partners_page(found: Partners, links: Mapping[Seating, Sequence[str]]) -> str:
    """Return the page; `links` are the pages of recorded series, by seating."""
    order = found.order
    columns = [found.names[i] for i in order] if found.partners == found.names else list(found.partners)
    places = [found.partners.index(name) for name in columns]
    matrices = [array[np.ix_(order, places)] for array in (found.score, found.low, found.high)]
    facts = [f"<li>{html.escape(' '.join(fact.split()))}</li>" for fact in _METHOD.strip().split("\n\n")]
    facts += [
        f"<li>{html.escape(entrant.name)}: <code>{html.escape(entrant.spec)}</code></li>"
        for entrant in found.plan.entrants
    ]
    focal = found.plan.format == "focal"
    said = (
        "The row plays one agent, the column all others." if focal else "The row has the first agent and every other."
    )
    parts = [
        *head(found.title, found.about, found.columns, found.rows, found.remarks),
        f"<h2>Who plays well with whom</h2>\n<p>{said}</p>",
        heat_map([found.names[i] for i in order], columns, (matrices[0], matrices[1], matrices[2]), links),
        "<h2>How this was made</h2>\n<ul>",
        *facts,
        "</ul>\n</body>\n</html>\n",
    ]
    return "\n".join(parts)
