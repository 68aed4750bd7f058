"""Where the built-in Toxiproxy does better than the real one, on purpose: by the test that shows it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Deviation:
    why: str
    """What the real server does instead."""
    run: bool = True
    """Whether the test is run against the real server, where it must fail; not if that takes long or hurts others."""


DEVIATIONS = {
    "test_half_close_is_kept": Deviation("it closes both directions when one ends, and the reply is lost"),
    "test_half_close_is_kept_through_toxics": Deviation("as above"),
    "test_reset_peer_resets_an_open_connection": Deviation("it resets only connections opened after it was added"),
    "test_a_failed_change_of_a_toxic_changes_nothing": Deviation("it takes over what stands before the mistake"),
    "test_toxicity_holds_while_neighbours_come_and_go": Deviation("it rolls the dice again", run=False),
    "test_latency_behind_bandwidth_adds_to_it": Deviation("it counts latency from when the data came in"),
    "test_a_reset_that_waits_can_be_called_off": Deviation("its API waits for the reset, which comes all the same"),
    "test_removing_a_toxic_from_clients_that_abort": Deviation("its API hangs, and gives up after 25 s", run=False),
    "test_a_dial_that_hangs_blocks_nothing": Deviation("it accepts no other client, and its API hangs", run=False),
    "test_a_slicer_without_settings_lets_data_through": Deviation("it crashes", run=False),
    "test_a_negative_rate_stalls": Deviation("it crashes", run=False),
    "test_settings_out_of_all_bounds": Deviation("it crashes", run=False),
}
