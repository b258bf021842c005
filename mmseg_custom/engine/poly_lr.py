"""Polynomial decay to a floor that follows the learning rate."""

from mmengine.optim import PolyLR as BasePolyLR

from mmseg_custom.registry import PARAM_SCHEDULERS


@PARAM_SCHEDULERS.register_module()
class PolyLR(BasePolyLR):
    """mmengine's schedule, with ``eta_min_ratio`` as its cosine has.

    A floor as a number is one for all groups: a group with ``lr_mult=10`` ends where the others do,
    and a learning rate that is scaled with the batch no longer fits it. A ratio is of each group's
    own rate.

    Args:
        optimizer: see mmengine.
        eta_min: floor of every group; default 0.
        eta_min_ratio: floor of each group, as a share of its learning rate, 0 to 1.
        **kwargs: see mmengine.

    Raises:
        ValueError: both floors are given, or the ratio is not from 0 to 1.
    """

    def __init__(
        self,
        optimizer,
        eta_min: float | None = None,
        eta_min_ratio: float | None = None,
        **kwargs,
    ) -> None:
        if eta_min is not None and eta_min_ratio is not None:
            raise ValueError(
                f'PolyLR takes eta_min={eta_min} or eta_min_ratio={eta_min_ratio}, not both; leave '
                'one out'
            )
        if eta_min_ratio is not None and not 0 <= eta_min_ratio <= 1:
            raise ValueError(
                f'eta_min_ratio={eta_min_ratio}, expected the share of the learning rate that is '
                'left at the end, 0 to 1'
            )
        self.eta_min_ratio = eta_min_ratio
        super().__init__(optimizer, eta_min=eta_min or 0.0, **kwargs)

    def _get_value(self) -> list[float]:
        if self.eta_min_ratio is None or self.last_step == 0:
            return super()._get_value()
        decay = (1 - 1 / (self.total_iters - self.last_step + 1)) ** self.power
        rates = [group[self.param_name] for group in self.optimizer.param_groups]
        floors = [self.eta_min_ratio * base for base in self.base_values]
        return [(rate - floor) * decay + floor for rate, floor in zip(rates, floors)]
