"""A sentence for each composite that says what it is good for; the page *choosing* has the measurements."""

from __future__ import annotations

GOOD_FOR = {
    "auto": "For every kind of model: take it first.",
    "lrp0": "For shallow networks, and to compare with gradient × input, which it equals on ReLU networks.",
    "epsilon": "For tables, series, recurrent and shallow networks; deep networks of pictures give noise.",
    "epsilon_gamma_box": "For photographs whose lowest and highest pixel values are known.",
    "epsilon_plus": "For smooth maps of deep ReLU networks and segmentation; it hides what speaks against a class.",
    "epsilon_plus_flat": "For the smoothest maps of photographs; not for tables, whose columns all get the same share.",
    "epsilon_alpha2_beta1": "For picture maps in which what speaks for and against stands out sharply.",
    "epsilon_alpha2_beta1_flat": "For sharp maps of photographs, evenly spread within the windows of the first layer.",
    "vgg_overview": "For networks like VGG-16, for which it was written; the bounds of the pixels must be known.",
    "deep_taylor": "For networks of ReLU layers with a positive score; not for signed data and tables.",
    "excitation_backprop": "For smooth maps of deep picture networks, also of vision transformers.",
    "attn_lrp": "For text, where the weights of attention are evidence too.",
    "cp_lrp": "For attention whose weights only select; relevance goes to what is selected.",
    "gradient": "For sensitivity: how the score would change with each input. It is no share of the score.",
    "gradient_x_input": "For shallow networks and for comparing with other tools; deep networks give noise.",
    "deconvnet": "For pleasing pictures; it says little about the class.",
    "guided_backprop": "For pleasing pictures; it says little about the class.",
    "beta_smooth": "For gradients of ReLU networks that are hard to manipulate.",
    "grad_cam": "For the place in a picture, as one blob, in convolutional networks.",
    "layer_cam": "For the place in a picture in more detail than Grad-CAM, in convolutional networks.",
    "integrated_gradients": 'For small networks with a baseline that means "absent".',
    "smooth_grad": "For gradients of deep networks with less noise.",
    "deep_lift": "For differences from a baseline or another sample that means something.",
    "attention_rollout": "For a look at which tokens attention reads, whatever the class.",
}
"""Name of each composite with its sentence."""
