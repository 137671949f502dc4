"""The deck of cards that the variants of new trials are drawn from: a card is the number of a variant.

At first every variant has equally many. To deal anew changes how likely each is drawn, and nothing else of a game.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from marl_meta.types import IntArray, UserError

Deck = npt.NDArray[np.uint32]

CARDS = 8
"""Cards for each variant, on average. A power of two: so a card of an even deck is, bit for bit, the variant that the
same random number would be among the variants themselves."""


def new_deck(variants: int) -> Deck:
    """Return the deck [D] in which each of the variants has as many cards, in their order."""
    return np.repeat(np.arange(variants, dtype=np.uint32), CARDS)


def deal(deck: Deck, weights: npt.ArrayLike) -> None:
    """Fill `deck` [D] anew, in place, with cards in proportion to the weights of the variants, in their order.

    Raises UserError for weights that are not one number for each variant, none negative and not all zero.
    """
    given = np.asarray(weights, np.float64)
    variants = len(deck) // CARDS
    if variants == 0:
        raise UserError("These games keep the rules that they were made with: there are no variants to deal.")
    if given.shape != (variants,) or not np.isfinite(given).all() or (given < 0).any() or not given.any():
        raise UserError(
            f"Weights must be {variants} finite numbers, one for each variant, none of them negative and not all zero."
        )
    deck[:] = np.repeat(np.arange(variants, dtype=np.uint32), apportion(given, len(deck)))


def apportion(weights: npt.NDArray[np.float64], cards: int) -> IntArray:
    """Return how many of the cards each variant gets, [V] that sum to `cards`: at least one, so that none is forgotten.

    What is too light for a card gets one all the same. The others share the rest by the method of largest remainders
    (Hamilton's): each gets the whole part of its quota, and the largest fractions get what is left, a card each.
    """
    weights = weights / weights.max()
    light = np.zeros(len(weights), np.bool_)
    while True:
        heavy = np.where(light, 0.0, weights)
        quota = heavy * ((cards - light.sum()) / heavy.sum())
        found = ~light & (quota < 1.0)
        if not found.any():
            break
        light |= found
    quota[light] = 1.0
    counts: IntArray = np.floor(quota).astype(np.int64)
    largest = np.argsort(counts - quota, kind="stable")  # of equal fractions the first variant's
    counts[largest[: cards - counts.sum()]] += 1
    return counts
