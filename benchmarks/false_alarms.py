"""The diagnosis of published networks, which are honest: every finding is a false alarm.

BRITTLE_DATA=FOLDER python benchmarks/false_alarms.py [NETWORK ...] [--dear]

FOLDER holds weights/ beside data/. Linf, at the radius of the network's training; for plain ones 0.03 on MNIST, 1/255 on CIFAR-10;
32 samples each.
"""

from __future__ import annotations

import argparse

import torch

import brittle
from published import loader

EPS = {
    "cifar10_convsmall_pgd2_eran": 2 / 255,
    "cifar10_kw_small_eps8_c0": 8 / 255,
    "cifar10_marabou_small": 1 / 255,
    "cifar10_oval_base_kw2": 2 / 255,
    "cifar10_oval_deep_kw2": 2 / 255,
    "cifar10_resnet20": 1 / 255,
    "cifar10_resnet2b_adv2": 2 / 255,
    "cifar10_resnet56": 1 / 255,
    "cifar10_sri_resnet_a": 1 / 255,
    "mnist_colt_eps01": 0.1,
    "mnist_convnet_avgpool_verivital": 0.03,
    "mnist_convnet_maxpool_verivital": 0.03,
    "mnist_convsmall_nat_eran": 0.03,
    "mnist_fastadv_fgsm_eps03": 0.3,
    "mnist_fc_vnncomp_256x2": 0.03,
    "mnist_fc_vnncomp_256x4": 0.03,
    "mnist_kw_eps01": 0.1,
    "mnist_lenet5_adversarialbox_adv": 0.3,
    "mnist_lenet5_advertorch_clean": 0.03,
    "mnist_madry_tiny": 0.3,
    "mnist_mlp_6x100_nat_eran": 0.03,
    "mnist_mlp_9x100_nat_eran": 0.03,
    "mnist_smallcnn_trades": 0.3,
}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("networks", nargs="*", default=list(EPS))
    options.add_argument("--dear", action="store_true")
    asked = options.parse_args()
    torch.set_num_threads(1)
    alarms = 0
    for name in asked.networks:
        module, _ = loader().load(name)
        found = brittle.diagnose(module, name.split("_")[0], brittle.linf(EPS[name]), dear=asked.dear)
        alarms += bool(found.findings)
        print(
            f"{name:34} {found.forwards:5.0f} F {found.backwards:5.0f} B  {', '.join(found.kinds) or '-'}", flush=True
        )
    print(f"{alarms} of {len(asked.networks)} networks with a finding")


if __name__ == "__main__":
    main()
