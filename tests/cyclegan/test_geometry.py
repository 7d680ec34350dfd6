"""Boundary drift measures a known shift, with its sign."""

import numpy as np
import pytest
from scipy import ndimage

from cyclegan.geometry import REACH, boundary_drift, edge_agreement

SIZE = 160


def level(radius=45.0, centre=(80.0, 76.0)):
    """Signed distance to a circle, positive inside."""
    y, x = np.mgrid[:SIZE, :SIZE]
    return radius - np.hypot(y - centre[0], x - centre[1])


def blurred(mask, inside, outside=0.6):
    return ndimage.gaussian_filter(np.where(mask, inside, outside), 1.0)


@pytest.mark.parametrize("inside", [0.3, 0.9], ids=["dark", "bright"])
@pytest.mark.parametrize("shift", [-4, -2, -1, 0, 1, 2, 4])
def test_a_rim_beside_the_boundary_is_a_shift_with_its_sign(shift, inside):
    mask = level() > 0
    image = blurred(level() > -shift, inside)  # grown by `shift` towards the background
    drift = boundary_drift([(image, mask)])
    assert drift.shift == pytest.approx(shift, abs=0.3)
    assert drift.median == pytest.approx(abs(shift), abs=0.35)
    assert drift.median <= drift.p95 <= abs(shift) + 1


def test_a_straight_edge_on_the_grid_is_exact():
    mask = np.zeros((64, 64), bool)
    mask[:, :30] = True
    drift = boundary_drift([(blurred(np.roll(mask, 3, axis=1), 0.2), mask)])
    # Wrapped columns at the left are out of reach of the boundary.
    assert drift == (3.0, 3.0, 3.0)


def test_a_displaced_image_has_no_systematic_shift_but_a_distance():
    mask = level() > 0
    image = blurred(np.roll(mask, 3, axis=0), 0.2)
    drift = boundary_drift([(image, mask)])
    assert abs(drift.shift) < 0.4
    assert 1.5 < drift.median < 2.6  # the mean of 3 |cos| is 1.9
    assert drift.p95 == pytest.approx(3, abs=0.4)


def test_noise_does_not_move_a_clear_boundary():
    mask = level() > 0
    noise = np.random.default_rng(0).normal(0, 0.05, mask.shape)
    drift = boundary_drift([(blurred(mask, 0.2) + noise, mask)])
    assert abs(drift.shift) < 0.3
    assert drift.p95 < 1.5


def test_an_image_without_boundaries_drifts_as_far_as_is_looked():
    noise = np.random.default_rng(0).random((SIZE, SIZE))
    drift = boundary_drift([(noise, level() > 0)])
    assert drift.median > 2
    assert drift.p95 <= REACH


def test_pairs_are_pooled_by_boundary_length():
    mask, small = level() > 0, level(15) > 0
    image = blurred(level() > -2, 0.2)
    drift = boundary_drift([(image, mask), (blurred(small, 0.2), small)])
    assert drift.shift == pytest.approx(2, abs=0.3)


def test_classes_other_than_background_count_as_one():
    mask = (level() > 0).astype(np.uint8)
    mask[80:, :] *= 2
    drift = boundary_drift([(blurred(mask > 0, 0.2), mask)])
    assert drift.p95 < 0.5


@pytest.mark.parametrize("value", [False, True])
def test_without_boundary_there_is_no_drift(value):
    drift = boundary_drift([(np.zeros((32, 32)), np.full((32, 32), value))])
    assert np.isnan(drift).all()
    assert np.isnan(boundary_drift([])).all()


def test_a_true_picture_shows_every_boundary_and_no_more():
    mask = level() > 0
    edges = edge_agreement([(blurred(mask, 0.2), mask)])
    assert edges.found == 1
    assert edges.invented < 0.01


def test_edges_do_not_depend_on_contrast_and_brightness():
    mask = level() > 0
    image = blurred(mask, 0.2) + np.random.default_rng(0).normal(0, 0.02, mask.shape)
    plain = edge_agreement([(image, mask)])
    assert edge_agreement([(7 - 3 * image, mask)]) == pytest.approx(plain, abs=1e-3)


def test_a_boundary_that_half_vanishes_is_half_found():
    mask = level(centre=(80.0, 80.0)) > 0
    image = blurred(mask, 0.2)
    image[:, 80:] = 0.6  # the right half of the particle fades
    mask_edges = edge_agreement([(image, mask)])
    assert mask_edges.found == pytest.approx(0.5, abs=0.06)


def test_particles_that_no_mask_knows_are_invented():
    mask, other = level(30, (50.0, 50.0)) > 0, level(15, (115.0, 115.0)) > 0
    edges = edge_agreement([(blurred(mask | other, 0.2), mask)])
    assert edges.found == 1
    assert edges.invented == pytest.approx(15 / 45, abs=0.04)


def test_a_moved_edge_is_neither_found_nor_allowed():
    mask = level() > 0
    edges = edge_agreement([(blurred(level() > -8, 0.2), mask)])
    assert edges.found < 0.05
    assert edges.invented > 0.95


def test_borders_between_two_phases_are_boundaries():
    mask = (level() > 0).astype(np.uint8) + (level(20) > 0)
    image = ndimage.gaussian_filter(np.array([0.8, 0.5, 0.2])[mask], 1.0)
    edges = edge_agreement([(image, mask)])
    assert edges.found == 1
    assert edges.invented < 0.01


def test_without_boundary_there_is_no_agreement():
    assert np.isnan(edge_agreement([(np.zeros((32, 32)), np.zeros((32, 32), np.uint8))])).all()
