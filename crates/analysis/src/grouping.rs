//! Which tensors a result is over: each alone, those of a layer, those of a kind, all of them.
//!
//! Layers and kinds go by the names that PyTorch, torchvision, Hugging Face and tch give, and by shapes: a run says no
//! more about its network. Where a network names its parameters in its own way, a kind may be wrong; counts never are.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use epsiloscope_format::TensorInfo;

/// What a parameter tensor does in its layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// What is added: `conv1.bias`, `lstm.bias_ih_l0`, `attention.in_proj_bias`.
    Bias,
    /// Rows that are looked up, positions and special tokens included: `wte.weight`, `encoder.pos_embedding`.
    Embedding,
    /// Scale and shift of a normalisation layer: `bn1.weight`, `ln_f.bias`, `downsample.1.weight`.
    Norm,
    /// What multiplies: everything else.
    Weight,
}

impl Kind {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bias => "bias",
            Self::Embedding => "embedding",
            Self::Norm => "norm",
            Self::Weight => "weight",
        }
    }

    /// The kind of a tensor beside the others of its layer.
    ///
    /// A vector belongs to a normalisation layer if that is what its module is called, or if it is a scale, or the shift
    /// beside one, in a layer without a matrix: what `nn.Sequential` calls `downsample.1` can be told by nothing else.
    fn of(tensor: &TensorInfo, layer: &[&TensorInfo]) -> Self {
        let (module, own) = module_and_own_name(&tensor.name);
        let is_vector = tensor.shape.len() == 1;
        let is_shift = is_shift(own);
        let is_scale_and_shift = layer.iter().all(|other| other.shape.len() < 2)
            && layer.iter().any(|other| is_scale(module_and_own_name(&other.name).1) && other.shape.len() == 1);
        if is_vector && (is_shift || is_scale(own)) && (words(module).any(|word| is_norm(&word)) || is_scale_and_shift)
        {
            Self::Norm
        } else if is_shift {
            Self::Bias
        } else if words(module).chain(words(own)).any(|word| is_embedding(&word)) {
            Self::Embedding
        } else {
            Self::Weight
        }
    }
}

/// What a result is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Each tensor.
    Tensor,
    /// The tensors of each layer: those whose names agree up to the last `.`. A name without one is its own layer.
    Layer,
    /// The tensors of each [`Kind`].
    Kind,
    /// All tensors of the run.
    Run,
}

impl Scope {
    /// From the narrowest to the widest.
    pub const ALL: [Self; 4] = [Self::Tensor, Self::Layer, Self::Kind, Self::Run];

    /// Its name in tables and options.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tensor => "tensor",
            Self::Layer => "layer",
            Self::Kind => "kind",
            Self::Run => "run",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|scope| scope.name() == text);
        found.ok_or_else(|| format!("scope {text:?}: expected tensor, layer, kind or run"))
    }
}

/// Tensors that a result is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The tensor's, layer's or kind's name; none of all tensors together.
    pub name: Option<String>,
    /// Indices into the manifest's tensors, ascending.
    pub tensors: Vec<usize>,
}

/// The groups of a run's tensors at every scope.
#[derive(Clone, Debug)]
pub struct Grouping {
    kinds: Vec<Kind>,
    /// In the order of [`Scope::ALL`].
    groups: [Vec<Group>; 4],
}

impl Grouping {
    /// Of a manifest's tensors.
    ///
    /// # Examples
    /// ```
    /// use epsiloscope_analysis::grouping::{Grouping, Kind, Scope};
    /// use epsiloscope_format::TensorInfo;
    ///
    /// let tensor = |name: &str, shape| TensorInfo { name: name.to_owned(), shape, recorded_elements: 0 };
    /// let grouping = Grouping::of(&[tensor("fc.bias", vec![10]), tensor("fc.weight", vec![10, 8])]);
    /// assert_eq!(grouping.kind(0), Kind::Bias);
    /// assert_eq!(grouping.groups(Scope::Layer)[0].tensors, [0, 1]);
    /// ```
    pub fn of(tensors: &[TensorInfo]) -> Self {
        let layers = grouped(tensors.iter().map(|tensor| layer(&tensor.name)));
        let mut kinds = vec![Kind::Weight; tensors.len()];
        for Group { tensors: members, .. } in &layers {
            let infos: Vec<&TensorInfo> = members.iter().map(|&tensor| &tensors[tensor]).collect();
            for &tensor in members {
                kinds[tensor] = Kind::of(&tensors[tensor], &infos);
            }
        }
        let run = Group { name: None, tensors: (0..tensors.len()).collect() };
        let each = grouped(tensors.iter().map(|tensor| tensor.name.as_str()));
        let of_kind = grouped(kinds.iter().map(|kind| kind.name()));
        Self { kinds, groups: [each, layers, of_kind, vec![run]] }
    }

    /// The groups of a scope, in ascending order of their names.
    pub fn groups(&self, scope: Scope) -> &[Group] {
        &self.groups[scope as usize]
    }

    /// The group that each tensor is in, as an index into [`groups`](Self::groups).
    pub fn group_of_tensors(&self, scope: Scope) -> Vec<usize> {
        let mut group_of = vec![0; self.kinds.len()];
        for (index, group) in self.groups(scope).iter().enumerate() {
            for &tensor in &group.tensors {
                group_of[tensor] = index;
            }
        }
        group_of
    }

    /// The kind of a tensor.
    pub fn kind(&self, tensor: usize) -> Kind {
        self.kinds[tensor]
    }
}

/// The layer that a tensor belongs to: its name without the last part.
pub(crate) fn layer(tensor: &str) -> &str {
    tensor.rsplit_once('.').map_or(tensor, |(layer, _own)| layer)
}

/// What the tensor's module is called, and what the tensor is called in it.
fn module_and_own_name(tensor: &str) -> (&str, &str) {
    let (layer, own) = tensor.rsplit_once('.').unwrap_or(("", tensor));
    (layer.rsplit('.').next().unwrap_or(layer), own)
}

/// Groups by name, ascending, of the indices that have it.
fn grouped<'a>(names: impl Iterator<Item = &'a str>) -> Vec<Group> {
    let mut groups: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, name) in names.enumerate() {
        groups.entry(name).or_default().push(index);
    }
    groups.into_iter().map(|(name, tensors)| Group { name: Some(name.to_owned()), tensors }).collect()
}

/// The words that a name is made of, lower case: `LayerNorm_2` is `layernorm`.
fn words(name: &str) -> impl Iterator<Item = String> + '_ {
    name.split(|letter: char| !letter.is_alphabetic()).map(str::to_lowercase)
}

fn is_norm(word: &str) -> bool {
    word.ends_with("norm") || word.starts_with("normali") || ["bn", "ln", "gn", "norms"].contains(&word)
}

fn is_embedding(word: &str) -> bool {
    word.starts_with("emb") || word.starts_with("tok") || ["wte", "wpe"].contains(&word)
}

fn is_scale(own: &str) -> bool {
    ["weight", "gamma", "scale"].contains(&own)
}

fn is_shift(own: &str) -> bool {
    own.starts_with("bias") || own.ends_with("_bias") || own == "beta"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(name: &str, n_dimensions: usize) -> TensorInfo {
        TensorInfo { name: name.to_owned(), shape: vec![2; n_dimensions], recorded_elements: 0 }
    }

    #[test]
    fn kinds_of_parameters_as_libraries_name_them() {
        let cases = [
            // torchvision: ResNet, VGG, ViT, Swin
            ("conv1.weight", 4, Kind::Weight),
            ("bn1.weight", 1, Kind::Norm),
            ("bn1.bias", 1, Kind::Norm),
            ("layer1.0.downsample.0.weight", 4, Kind::Weight),
            ("layer1.0.downsample.1.weight", 1, Kind::Norm),
            ("layer1.0.downsample.1.bias", 1, Kind::Norm),
            ("fc.weight", 2, Kind::Weight),
            ("fc.bias", 1, Kind::Bias),
            ("features.0.weight", 4, Kind::Weight),
            ("features.0.bias", 1, Kind::Bias),
            ("class_token", 3, Kind::Embedding),
            ("conv_proj.weight", 4, Kind::Weight),
            ("encoder.pos_embedding", 3, Kind::Embedding),
            ("encoder.layers.encoder_layer_0.ln_1.weight", 1, Kind::Norm),
            ("encoder.layers.encoder_layer_0.self_attention.in_proj_weight", 2, Kind::Weight),
            ("encoder.layers.encoder_layer_0.self_attention.in_proj_bias", 1, Kind::Bias),
            // PyTorch: recurrent and transformer layers
            ("lstm.weight_hh_l0", 2, Kind::Weight),
            ("lstm.bias_hh_l0", 1, Kind::Bias),
            ("layers.0.norm1.bias", 1, Kind::Norm),
            ("layers.0.linear1.bias", 1, Kind::Bias),
            // Hugging Face: BERT, GPT-2, Llama, CLIP
            ("bert.embeddings.word_embeddings.weight", 2, Kind::Embedding),
            ("bert.embeddings.LayerNorm.weight", 1, Kind::Norm),
            ("bert.embeddings.LayerNorm.beta", 1, Kind::Norm),
            ("bert.encoder.layer.0.attention.self.query.weight", 2, Kind::Weight),
            ("transformer.wte.weight", 2, Kind::Embedding),
            ("transformer.wpe.weight", 2, Kind::Embedding),
            ("transformer.h.0.ln_1.weight", 1, Kind::Norm),
            ("transformer.ln_f.bias", 1, Kind::Norm),
            ("transformer.h.0.attn.c_attn.bias", 1, Kind::Bias),
            ("model.embed_tokens.weight", 2, Kind::Embedding),
            ("model.layers.0.input_layernorm.weight", 1, Kind::Norm),
            ("model.layers.0.self_attn.q_norm.weight", 1, Kind::Norm),
            ("vision_model.embeddings.class_embedding", 1, Kind::Embedding),
            ("vision_model.embeddings.patch_embedding.bias", 1, Kind::Bias),
            ("lm_head.weight", 2, Kind::Weight),
            // tch, and a network of one module
            ("tok_emb.weight", 2, Kind::Embedding),
            ("decoder_norm.weight", 1, Kind::Norm),
            ("weight", 2, Kind::Weight),
            ("bias", 1, Kind::Bias),
            // A word that only looks like one
            ("normal_head.weight", 2, Kind::Weight),
            ("normal_head.bias", 1, Kind::Bias),
        ];
        let grouping = Grouping::of(&cases.map(|(name, n_dimensions, _)| tensor(name, n_dimensions)));
        for (index, (name, _, kind)) in cases.into_iter().enumerate() {
            assert_eq!(grouping.kind(index), kind, "{name}");
        }
    }

    #[test]
    fn every_tensor_is_in_one_group_of_each_scope() {
        let names = ["a.bias", "a.weight", "a.b.weight", "cls_token", "z"];
        let grouping = Grouping::of(&names.map(|name| tensor(name, 2)));
        let layers: Vec<_> = grouping.groups(Scope::Layer).iter().map(|group| group.name.as_deref()).collect();
        assert_eq!(layers, ["a", "a.b", "cls_token", "z"].map(Some));
        assert_eq!(grouping.groups(Scope::Run), [Group { name: None, tensors: vec![0, 1, 2, 3, 4] }]);
        for scope in Scope::ALL {
            let group_of = grouping.group_of_tensors(scope);
            let members = grouping.groups(scope).iter().enumerate();
            let pairs = members.flat_map(|(index, group)| group.tensors.iter().map(move |&tensor| (tensor, index)));
            let mut pairs: Vec<_> = pairs.collect();
            pairs.sort_unstable();
            assert_eq!(pairs, group_of.into_iter().enumerate().collect::<Vec<_>>(), "{scope}");
        }
    }

    #[test]
    fn scopes_are_read_as_they_are_printed() {
        assert!(Scope::ALL.into_iter().all(|scope| scope.to_string().parse() == Ok(scope)));
        assert!("layers".parse::<Scope>().is_err());
    }
}
