"""The paper's model in PyTorch, from timm's and PyTorch's own parts: what training_step measures ours against."""

from typing import Any

import torch
from torch import nn

from benchmarks.port_rows import timm_package
from ipa_jax.models.depth_layers import LAYERS

MEAN = torch.tensor((0.485, 0.456, 0.406)).view(3, 1, 1)
STD = torch.tensor((0.229, 0.224, 0.225)).view(3, 1, 1)


class Popularity(nn.Module):
    """Swin-B, ResNet50 over five masked views, the retrieval token, an encoder and a head, as config.model says."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        timm, width = timm_package(), model.width
        self.swin = timm.create_model("swin_base_patch4_window7_224", num_classes=0, drop_path_rate=0.2)
        self.resnet = timm.create_model("resnet50", num_classes=0)
        self.image_project, self.depth_project = nn.Linear(1024, width), nn.Linear(2048, width)
        self.retrieval = nn.Linear(15, width)
        self.image_type, self.depth_type, self.retrieval_type, self.cls = (
            nn.Parameter(0.02 * torch.randn(count, width)) for count in (1, len(LAYERS), 1, 1)
        )
        layers = [
            nn.TransformerEncoderLayer(
                width, model.heads, model.mlp_ratio * width, 0.0, nn.functional.gelu, batch_first=True, norm_first=True
            )
            for _ in range(model.blocks)
        ]
        self.encoder = nn.Sequential(*layers)
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 1)

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """z [N] of a batch [packs, 2, ...]."""
        flat = {name: value.flatten(0, 1) for name, value in batch.items()}
        pixels = flat["image"].permute(0, 3, 1, 2) / 255.0  # [N, 3, c, c]
        regions = self.swin.forward_features((pixels - MEAN) / STD).flatten(1, 2)  # [N, 49, 1024]

        depth = flat["depth"][:, None] / 65535.0
        depth = nn.functional.interpolate(depth, size=pixels.shape[-2:], mode="bilinear")  # [N, 1, c, c]
        masks = torch.stack([(depth >= low) & ((depth < high) | (high == 1.0)) for low, high in LAYERS], 1)
        views = ((pixels[:, None] * masks - MEAN) / STD).flatten(0, 1)  # [5 N, 3, c, c]
        views = views.contiguous(memory_format=torch.channels_last)
        vectors = self.resnet(views).unflatten(0, (-1, len(LAYERS)))  # [N, 5, 2048]

        pairs = torch.stack([flat["similarity"], flat["local"]], -1).flatten(1)
        retrieved = self.retrieval(torch.cat([pairs, flat["retrieved_mask"].float()], 1))[:, None]
        tokens = [self.image_project(regions) + self.image_type, retrieved + self.retrieval_type]
        tokens += [self.depth_project(vectors) + self.depth_type]
        x = torch.cat([self.cls.expand(len(pixels), 1, -1), *tokens], 1)
        return self.head(self.norm(self.encoder(x)[:, 0]))[:, 0]

    def loss(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Eq. 7 over the pairs of a batch."""
        z = self(batch).unflatten(0, (-1, 2))
        d, t = z[:, 0] - z[:, 1], batch["log_likes"][:, 0] - batch["log_likes"][:, 1]
        return (2 * (torch.sigmoid(d) - torch.sigmoid(t)) ** 2).mean()
