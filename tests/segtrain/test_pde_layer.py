"""Kernels are the operators they claim to be, and the layer solves its equation as it says."""

from itertools import combinations, pairwise, product
from math import log2, pi

import pytest
import torch

from phasegen.errors import InputError
from segtrain.models.moments import basis, moments, within
from segtrain.models.pde_layer import THETA, Diffusion, Numerics, PDELayer

SIZES = [(2, 3), (2, 5), (3, 3), (3, 5)]


def disordered(module, scale=1.0, seed=0):
    """The module in float64 with all its parameters away from their start."""
    torch.manual_seed(seed)
    module.double()
    for buffers in module.modules():
        if isinstance(buffers, Diffusion):
            for name, value in basis(buffers.axes, buffers.size)._asdict().items():
                setattr(buffers, name, value)
    for parameter in module.parameters():
        parameter.data += scale * torch.randn_like(parameter)
    return module


def heat(axes, dt, **options):
    """A layer of one field for the heat equation, with a diffusivity of 1."""
    layer = disordered(PDELayer(1, axes, Numerics(**options)), scale=0)
    layer.diffusion.factor.data.zero_()
    layer.log_step.data.fill_(dt).log_()
    return layer


def wave(axes, size=8, number=2):
    """A cosine along every axis, which the border without flux lets be, and its decay rate."""
    line = torch.cos(pi * number * (torch.arange(size, dtype=torch.float64) + 0.5) / size)
    u = torch.ones((), dtype=torch.float64)
    for _ in range(axes):
        u = u[..., None] * line
    return u[None, None], axes * 4 * torch.sin(torch.tensor(pi * number / (2 * size))).item() ** 2


def symbol(kernel, count):
    """Fourier symbols (C, waves) of kernels at waves all over the Brillouin zone, near 0 too."""
    axes, size = kernel.ndim - 1, kernel.shape[-1]
    points = torch.arange(size, dtype=torch.float64) - size // 2
    places = torch.stack(torch.meshgrid(*[points] * axes, indexing="ij")).flatten(1)
    angles = torch.linspace(-pi, pi, count, dtype=torch.float64)
    waves = torch.stack(torch.meshgrid(*[angles] * axes, indexing="ij")).flatten(1)
    waves = torch.cat([waves, 0.05 * waves], dim=1)
    return kernel.flatten(1).to(torch.complex128) @ torch.exp(1j * (places.T @ waves))


@pytest.mark.parametrize(("axes", "size"), SIZES)
def test_moments_by_their_definition(axes, size):
    kernel = torch.randn(2, *[size] * axes, dtype=torch.float64)
    found = moments(kernel)
    assert len(found) == size**axes
    factorial = [1, 1, 2, 6, 24]
    for alpha, value in found.items():
        expected = torch.zeros(2, dtype=torch.float64)
        for place in product(range(size), repeat=axes):
            term = kernel[(slice(None), *place)]
            for k, exponent in zip(place, alpha, strict=True):
                term = term * (k - size // 2) ** exponent / factorial[exponent]
            expected += term
        torch.testing.assert_close(value, expected)


def test_the_standard_stencils():
    made = basis(2, 3)
    laplacian = (made.second[0] + made.second[2]).view(3, 3)
    expected = torch.tensor([[0, 1, 0], [1, -4, 1], [0, 1, 0]], dtype=torch.float64)
    torch.testing.assert_close(laplacian, expected)
    mixed = torch.tensor([[1, 0, -1], [0, 0, 0], [-1, 0, 1]], dtype=torch.float64) / 2
    torch.testing.assert_close(made.second[1].view(3, 3), mixed)
    # Five points: the stencils of fourth order.
    rows = basis(3, 5).first[2].view(5, 5, 5)[2, 2] * 12
    torch.testing.assert_close(rows, torch.tensor([1, -8, 0, 8, -1], dtype=torch.float64))


@pytest.mark.parametrize(("axes", "size"), SIZES)
def test_moments_hold_in_training(axes, size):
    torch.manual_seed(0)
    diffusion = PDELayer(4, axes, Numerics(size=size))
    optimiser = torch.optim.AdamW(diffusion.parameters(), 0.05)
    image, goal = torch.randn(2, 2, 4, *[6] * axes)
    for _ in range(6):
        optimiser.zero_grad()
        (diffusion(image) - goal).square().mean().backward()
        optimiser.step()
    kernel = diffusion.diffusion.kernel().detach()
    b, A = diffusion.diffusion.coefficients()
    found = moments(kernel)
    scale = kernel.abs().max().item()
    first = {tuple(row): b[:, i] for i, row in enumerate(torch.eye(axes, dtype=int).tolist())}
    for alpha, value in found.items():
        if sum(alpha) == 0:
            expected = torch.zeros(4)
        elif sum(alpha) == 1:
            expected = first[alpha]
        elif sum(alpha) == 2:
            i, *k = [axis for axis in range(axes) if alpha[axis]]
            expected = 2 * A[:, i, k[0]] if k else A[:, i, i]
        else:
            assert (value != 0).all()  # free, and learned
            continue
        torch.testing.assert_close(value, expected.double(), rtol=1e-5, atol=1e-6 * scale)
    assert (torch.linalg.eigvalsh(A) > 0).all()
    assert (b != 0).all()


@pytest.mark.parametrize(("axes", "size"), SIZES)
def test_operators_differentiate_polynomials(axes, size):
    diffusion = disordered(Diffusion(1, axes, size))
    b, A = (value[0] for value in diffusion.coefficients())
    torch.manual_seed(1)
    slope, bend = torch.randn(axes).double(), torch.randn(axes, axes).double()
    bend = bend + bend.mT
    points = torch.arange(size, dtype=torch.float64) - size // 2
    x = torch.stack(torch.meshgrid(*[points] * axes, indexing="ij"), dim=-1)
    u = 3 + x @ slope + torch.einsum("...i,ik,...k->...", x, bend, x) / 2
    expected = b @ slope + (A * bend).sum()
    torch.testing.assert_close((diffusion.kernel()[0] * u).sum(), expected)


@pytest.mark.parametrize(("axes", "size"), SIZES)
@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
def test_no_wave_grows_whatever_is_learned(axes, size, scale):
    diffusion = disordered(Diffusion(40, axes, size), scale)
    diffusion.laplacian.data.clamp_(-5, 5)
    kernel = diffusion.kernel().detach()
    waves = symbol(kernel, 33 if axes == 2 else 9)
    flat = kernel.flatten(1)
    others = flat.abs().sum(dim=1) - flat[:, flat.shape[1] // 2].abs()
    size_of = others[:, None]
    assert (waves.real <= 1e-12 * size_of).all()
    even = kernel + kernel.flip(list(range(1, kernel.ndim)))  # no gradient, twice the rest
    for dt, theta in product((0.01, 1.0, 1e6), (0.5, 1.0)):
        # Any number of sweeps but of Crank-Nicolson with a gradient, which has its one.
        grown = [after_sweeps(waves, size_of, dt, theta, 5 if theta == 1 else 1)]
        grown.append(after_sweeps(symbol(even / 2, 33 if axes == 2 else 9), size_of, dt, theta, 5))
        assert max(grown) <= 1 + 1e-12


def after_sweeps(waves, others, dt, theta, sweeps):
    """The largest factor by which a step changes a wave, after any of the sweeps."""
    v, most = torch.zeros_like(waves), 0.0
    for _ in range(sweeps):
        v = v + (dt * waves - v + theta * dt * waves * v) / (1 + dt * others)
        most = max(most, (1 + v).abs().max().item())
    return most


def test_bounds_are_needed():
    # Without them an even free moment makes a wave grow.
    made = basis(2, 3)
    kernel = (made.second[0] + made.second[2] + made.even[0]).view(1, 3, 3)
    assert symbol(kernel, 33).real.max() > 1
    assert within(torch.tensor([[1e9]]), torch.tensor([4.0]), torch.tensor([[0.5]])) <= 1 / 8


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize(
    ("scheme", "options", "order"),
    [
        ("explicit", {}, 1),
        ("semi-implicit", {}, 1),
        ("semi-implicit", {"sweeps": 60}, 1),
        ("split", {"sweeps": 60}, 1),
        ("crank-nicolson", {"sweeps": 60}, 2),
        ("crank-nicolson", {"sweeps": 40, "solver": "gauss-seidel"}, 2),
    ],
)
def test_order_in_time(axes, scheme, options, order):
    u, rate = wave(axes)
    exact = u * torch.exp(torch.tensor(-0.4 * rate, dtype=torch.float64))
    errors = []
    for halvings in (3, 4, 5):
        layer = heat(axes, 0.4 / 2**halvings, scheme=scheme, steps=4, **options)
        v = u
        for _ in range(2 ** (halvings - 2)):
            v = layer(v)
        errors.append((v - exact).abs().max().item())
    orders = [log2(before / after) for before, after in pairwise(errors)]
    assert orders == pytest.approx([order] * 2, abs=0.15)


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("scheme", THETA)
def test_the_solution_of_a_step(axes, scheme):
    # (1 - θ Δt D) v = Δt D u by a dense solve, the operator being read off the layer's own.
    numerics = {"scheme": scheme, "steps": 1}
    theta, dt, shape = THETA[scheme], 0.7, (1, 1, *[4] * axes)
    n = 4**axes
    unit = torch.eye(n, dtype=torch.float64).view(n, 1, *shape[2:])
    explicit = heat(axes, 1.0, scheme="explicit", steps=1)
    D = ((explicit(unit) - unit).view(n, n).mT).detach()
    u = torch.randn(shape, dtype=torch.float64)
    v = torch.linalg.solve(torch.eye(n) - theta * dt * D, dt * D @ u.flatten())
    solvers = ("jacobi", "gauss-seidel") if theta else ()
    for solve in [{"solver": solver, "sweeps": 400} for solver in solvers] or [{}]:
        layer = heat(axes, dt, **numerics, **solve)
        torch.testing.assert_close((layer(u) - u).flatten(), v, rtol=1e-9, atol=1e-9)


def test_red_and_black_in_their_order():
    # Pixel by pixel and in place: first all of one colour, then all of the other.
    dt, n = 2.0, 5
    u = torch.randn(n, n, dtype=torch.float64)

    def laplacian(v, y, x):
        places = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
        return sum(v[i, k] - v[y, x] for i, k in places if 0 <= i < n and 0 <= k < n)

    v = torch.zeros_like(u)
    for _, colour in product(range(2), (0, 1)):
        for y, x in product(range(n), range(n)):
            if (x + y) % 2 == colour:
                residual = dt * laplacian(u, y, x) - v[y, x] + dt * laplacian(v, y, x)
                v[y, x] += residual / (1 + 4 * dt)
    layer = heat(2, dt, solver="gauss-seidel", sweeps=2, steps=1)
    torch.testing.assert_close(layer(u[None, None])[0, 0] - u, v)


@pytest.mark.parametrize("scheme", ["semi-implicit", "crank-nicolson", "split"])
@pytest.mark.parametrize("solver", ["jacobi", "gauss-seidel"])
@pytest.mark.parametrize("sweeps", [1, 2, 5])
def test_stable_far_beyond_the_explicit_limit(scheme, solver, sweeps):
    if (scheme, solver, sweeps) == ("crank-nicolson", "jacobi", 1):
        pytest.skip("refused")
    limit = 1 / 6  # 2 / (4 d) in 3D
    torch.manual_seed(0)
    noise = torch.randn(6, 6, 6, dtype=torch.float64)
    places = torch.meshgrid(*[torch.arange(6)] * 3, indexing="ij")
    board = 1.0 - 2.0 * (sum(places) % 2).double()
    start = torch.stack([noise, board])[:, None]
    # The matrix of red-black sweeps is not symmetric: no power of it grows, but its norm is not 1.
    margin = 1.3 if solver == "gauss-seidel" else 1 + 1e-12
    layer = heat(3, 100 * limit, scheme=scheme, solver=solver, sweeps=sweeps, steps=5)
    u = start
    for _ in range(20):
        u = layer(u).detach()
        assert (u.flatten(1).norm(dim=1) <= margin * start.flatten(1).norm(dim=1)).all()
    explicit = heat(3, 1.1 * limit, scheme="explicit", steps=5)
    u = start
    for _ in range(20):
        u = explicit(u).detach()
    assert u.norm() > 50 * start.norm()


@pytest.mark.parametrize("scheme", THETA)
def test_constants_stay_and_nothing_is_lost(scheme):
    # With Jacobi sweeps and a kernel that is even, the matrix has equal rows and columns.
    layer = heat(3, 0.5, scheme=scheme, sweeps=2 if scheme == "crank-nicolson" else 1)
    u = torch.rand(1, 1, 5, 4, 3, dtype=torch.float64)
    torch.testing.assert_close(layer(u).sum(), u.sum())
    torch.testing.assert_close(layer(torch.full_like(u, 3.0)), torch.full_like(u, 3.0))


@pytest.mark.parametrize("scheme", THETA)
@pytest.mark.parametrize("solver", ["jacobi", "gauss-seidel"])
@pytest.mark.parametrize(("axes", "size"), [(2, 5), (3, 3)])
def test_the_gradient_is_that_of_the_value(scheme, solver, axes, size):
    solve = {} if scheme == "explicit" else {"solver": solver, "sweeps": 2}
    numerics = Numerics(scheme=scheme, size=size, fields=2, **solve)
    layer = disordered(PDELayer(3, axes, numerics), 0.3)
    parameters = dict(layer.named_parameters())
    assert {"log_step", "mix.weight", "diffusion.free_even", "reaction.weight"} <= set(parameters)
    image = torch.randn(1, 3, *[3] * axes, dtype=torch.float64, requires_grad=True)

    def output(image, *values):
        return torch.func.functional_call(layer, dict(zip(parameters, values, strict=True)), image)

    assert torch.autograd.gradcheck(output, (image, *parameters.values()), fast_mode=True)


def test_the_reaction_by_its_formula():
    # A constant state has no D: K steps of an ordinary differential equation, N evaluated outside.
    for scheme in ("explicit", "semi-implicit", "split"):
        layer = disordered(PDELayer(3, 2, Numerics(scheme=scheme, steps=2)), 0.3)
        u = torch.randn(3, dtype=torch.float64)
        v, reaction = u, layer.reaction
        kernel, dt = layer.diffusion.kernel(), layer.log_step.exp()
        others = kernel.flatten(1).abs().sum(dim=1) - kernel[:, 1, 1].abs()
        whole = scheme in ("explicit", "split")
        pace = dt if whole else dt / (1 + dt * others)
        for _ in range(2):
            hidden = (reaction.hidden.weight[:, :, 0, 0] @ v + reaction.hidden.bias).relu()
            v = v + pace * (reaction.weight[:, :, 0, 0] @ hidden + reaction.bias)
        found = layer(u.view(1, 3, 1, 1).expand(1, 3, 4, 4))
        torch.testing.assert_close(found, v.view(1, 3, 1, 1).expand(1, 3, 4, 4))


@pytest.mark.parametrize(("axes", "size"), SIZES)
def test_number_of_parameters(axes, size):
    # As many as moments but one: that of order 0 is none, and a and the diagonal of L share one.
    fields = 4
    count = sum(p.numel() for p in Diffusion(fields, axes, size).parameters())
    upper = fields * axes * (axes - 1) // 2  # of L, unused
    assert count - upper == fields * size**axes
    layer = PDELayer(10, axes, Numerics(size=size, fields=fields))
    assert sum(p.numel() for p in layer.parameters()) == count + 2 * 20 + 1 + 2 * 40


def test_all_fields_evolve_in_a_projection():
    # With as many fields as channels nothing is mixed; with fewer, what is orthogonal stays.
    layer = PDELayer(6, 2, Numerics(fields=2))
    x = torch.randn(1, 6, 5, 5)
    change = layer(x) - x
    mixed = layer.mix.weight[:, :, 0, 0]
    torch.testing.assert_close(mixed @ mixed.T, torch.eye(2))
    found = torch.einsum("fc,bcyx->bfyx", mixed, change)
    torch.testing.assert_close(found, layer.evolve(layer.mix(x)) - layer.mix(x))
    assert PDELayer(2, 2, Numerics(fields=2)).mix is None


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize(
    ("scheme", "solver", "sweeps"),
    [("explicit", "jacobi", 1)]
    + [("semi-implicit", *solve) for solve in [("jacobi", 1), ("jacobi", 3), ("gauss-seidel", 2)]],
)
def test_the_reach(size, scheme, solver, sweeps):
    numerics = Numerics(steps=2, scheme=scheme, solver=solver, sweeps=sweeps, size=size)
    layer = disordered(PDELayer(1, 2, numerics), 0.3)
    middle = numerics.reach + 4
    image = torch.randn(1, 1, 3, 2 * middle, dtype=torch.float64, requires_grad=True)
    # Of either colour; one of them sees farther.
    seen = 0
    for x in (middle, middle + 1):
        (gradient,) = torch.autograd.grad(layer(image)[0, 0, 1, x], image)
        places = gradient[0, 0].abs().sum(dim=0).nonzero()[:, 0]
        seen = max(seen, x - int(places.min()), int(places.max()) - x)
    assert seen == numerics.reach


def test_half_precision_and_memory_formats():
    layer = PDELayer(4, 3)
    x = torch.randn(2, 4, 5, 6, 7)
    expected = layer(x)
    last = layer.to(memory_format=torch.channels_last_3d)(
        x.to(memory_format=torch.channels_last_3d)
    )
    torch.testing.assert_close(last, expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = layer(x.bfloat16())
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), expected, rtol=0.02, atol=0.03)


def test_constants_stay_under_autocast():
    torch.manual_seed(0)
    layer = PDELayer(4, 3)
    for name, parameter in layer.diffusion.named_parameters():
        parameter.data += 0.3 * torch.randn_like(parameter) * (name != "laplacian")
    x = torch.full((1, 4, 6, 6, 6), 100.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        moved = layer(x) - x
    assert moved.abs().max() < 1e-3


def test_every_choice_makes_a_difference():
    u, found = torch.randn(1, 2, 6, 6, dtype=torch.float64), {}
    for steps, scheme, solver, sweeps in product(
        (1, 2), THETA, ("jacobi", "gauss-seidel"), (1, 2, 3)
    ):
        try:
            numerics = Numerics(steps, scheme, solver, sweeps)
        except InputError:
            continue
        layer = disordered(PDELayer(2, 2, numerics), 0.3)
        found[numerics] = layer(u)
    assert len(found) == 2 * (1 + 6 + 5 + 6)
    for one, other in combinations(found, 2):
        assert (found[one] - found[other]).abs().max() > 1e-6, (one, other)


def test_choices_that_would_make_none_are_refused():
    with pytest.raises(InputError, match=r"sweeps: is 1.*Use 2 or more"):
        Numerics(scheme="crank-nicolson")
    for options in ({"sweeps": 2}, {"solver": "gauss-seidel"}):
        with pytest.raises(InputError, match="solves nothing by sweeps"):
            Numerics(scheme="explicit", **options)


@pytest.mark.parametrize(
    ("name", "value"),
    [("steps", 6), ("steps", 0), ("scheme", "euler"), ("solver", "cg"), ("size", 4)]
    + [("sweeps", 0), ("fields", 0)],
)
def test_what_is_out_of_range_is_refused(name, value):
    with pytest.raises(InputError, match=f"PDE layer: {name}"):
        Numerics(**{name: value})
