"""The frozen extractors of the feature store's parts: each prepares its networks once and turns photos into row values.

pose: DEKR. background: DeepLabV3. caption: the bottom-up detector and M2 Transformer. depth: AdaBins. Their choices are
`config.extract`; `extract_inputs` says what each is given.
"""

from data_builders.features.background import Background
from data_builders.features.caption import Caption
from data_builders.features.depth import Depth
from data_builders.features.pose import Pose

EXTRACTORS = {kind.part: kind for kind in (Pose, Background, Caption, Depth)}
