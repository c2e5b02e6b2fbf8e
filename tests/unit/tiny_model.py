"""The `model` part of a training recipe for a LISA that trains in milliseconds."""

MODEL = {
    "out_dim": 16,
    "select_layer": -1,
    "clip_fit": "pad",
    "query_template": "{query}",
    "language": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2},
    "vision": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 64, "patch_size": 16},
    "sam": {"image_size": 64, "patch_size": 16, "width": 32, "depth": 2, "heads": 2, "window_size": 2, "global_attention": [1], "prompt_dim": 16,
            "decoder_heads": 2, "decoder_mlp": 32, "iou_hidden": 16},
}  # fmt: skip


def tiny_lisa(vocabulary: int = 64):
    """Such a LISA with random weights, the same at every call."""
    import torch

    from lisa_ros.model.config import LanguageConfig, LisaConfig, VisionConfig
    from lisa_ros.model.lisa import Lisa
    from lisa_ros.model.sam import SamConfig

    parts = dict(MODEL)
    language = LanguageConfig(vocab_size=vocabulary, **parts.pop("language"))
    vision, sam = VisionConfig(**parts.pop("vision")), parts.pop("sam")
    sam = SamConfig(**{**sam, "global_attention": tuple(sam["global_attention"])})
    torch.manual_seed(0)
    return Lisa(LisaConfig(language=language, vision=vision, sam=sam, name="tiny", **parts))
