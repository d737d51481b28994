"""What tells a process that it is one of several: variables that launchers of distributed programs set."""

OF_A_LAUNCHER = {
    *("RANK", "LOCAL_RANK", "GROUP_RANK", "ROLE_RANK", "ROLE_NAME", "MASTER_ADDR", "MASTER_PORT"),
    *("WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE", "ROLE_WORLD_SIZE"),
}
"""As does TORCHELASTIC_...; torchrun sets all of it for its own."""


def of_a_launcher(name: str) -> bool:
    """Whether a variable is one of them."""
    return name in OF_A_LAUNCHER or name.startswith("TORCHELASTIC_")
