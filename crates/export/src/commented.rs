//! What Python modules and YAML documents have in common: both begin comments alike, and read the same numbers.

use epsiloscope_moments::Convention;

use crate::space::{SearchSpace, number};

/// Some text after comments that say where the space comes from and where the value goes.
pub(crate) fn commented(space: &SearchSpace, text: &str) -> String {
    let provenance = space.provenance().iter().map(|(what, said)| format!("# {what}: {said}\n"));
    let usage = format!("# use: {}\n", usage(space.optimizer()));
    provenance.chain([usage, text.to_owned()]).collect()
}

/// The name, which needs no quotes and no escape, and the ends.
pub(crate) fn parts(space: &SearchSpace) -> (&str, String, String) {
    (space.parameter(), number(space.lower()), number(space.upper()))
}

/// How the value is handed to the optimizer in its own package.
pub(crate) fn usage(optimizer: Convention) -> &'static str {
    match optimizer.name() {
        "adam" => "torch.optim.Adam(params, lr=lr, eps=eps)",
        "adamw" => "torch.optim.AdamW(params, lr=lr, eps=eps)",
        "nadam" => "torch.optim.NAdam(params, lr=lr, eps=eps)",
        "optax-adam" => "optax.adam(lr, eps=eps)",
        "optax-eps-root" => "optax.adam(lr, eps=0.0, eps_root=eps_root)",
        "amsgrad" => "torch.optim.Adam(params, lr=lr, eps=eps, amsgrad=True)",
        "radam" => "torch.optim.RAdam(params, lr=lr, eps=eps)",
        "keras-adam" => "keras.optimizers.Adam(learning_rate=lr, epsilon=epsilon)",
        "rmsprop" => "torch.optim.RMSprop(params, lr=lr, eps=eps)",
        "tf-rmsprop" => "keras.optimizers.RMSprop(learning_rate=lr, epsilon=epsilon)",
        "optax-rmsprop" => "optax.rmsprop(lr, eps=eps)",
        "rmsprop-centered" => "torch.optim.RMSprop(params, lr=lr, eps=eps, centered=True)",
        "adagrad" => "torch.optim.Adagrad(params, lr=lr, eps=eps)",
        "adabelief" => "adabelief_pytorch.AdaBelief(params, lr=lr, eps=eps)",
        "adamomentum" => "AdaMomentum(params, lr=lr, eps=eps)",
        "eadam" => "EAdam(params, lr=lr, eps=eps)",
        "yogi" => "torch_optimizer.Yogi(params, lr=lr, eps=eps)",
        other => other,
    }
}
