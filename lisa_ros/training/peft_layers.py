"""What is used of peft: LoRA's layers, and how they are put into a model. The one place that imports it.

peft imports bitsandbytes, whose kernels no training here uses. That logs advice about its binaries, and where the package ``kernels`` is
installed it would fetch one from the hub and run it.
"""

from lisa_ros.model.quantization import no_hub_kernels, quiet

with quiet(), no_hub_kernels():
    from peft import LoraConfig, inject_adapter_in_model
    from peft.tuners.lora import LoraLayer
    from peft.tuners.tuners_utils import BaseTunerLayer

__all__ = ["BaseTunerLayer", "LoraConfig", "LoraLayer", "inject_adapter_in_model"]
