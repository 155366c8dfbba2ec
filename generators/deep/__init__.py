"""What the deep generators share: DP-SGD by privacy unit, its noise, its accounting, its files.

    randomness   noise and coins from the operating system (ChaCha20); no seed
    recipe       sampling rate, steps, clipping bound and the noise multiplier solved from (ε, δ) before data is read
    units        rows by privacy unit, Poisson-sampled batches of units
    clipping     the gradient of each unit, clipped, without writing it down
    stepper      one accounted step after another, and no more of them than were accounted
    device       where networks are trained, and in what precision
    room         what does not fit is refused when planned; rows in parts that do
    weights      networks as safetensors

Rules: a network is made of `torch.nn.Linear` and of layers without parameters or memory (what Opacus' validator refuses, such as
BatchNorm, is refused here); the number of units is never read, an estimate of it from noised counts scales the steps.
"""
