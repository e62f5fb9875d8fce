public import ArgumentParser
public import Models
public import Passes

/// What the output is loaded by: shared by all commands that write a model.
struct LoadingArguments: ParsableArguments {
  @Option(
    name: .customLong("for"),
    help: "Refuse or adapt what this program cannot load: vllm, transformers, llama.cpp or mlx.")
  var loader: Loader?

  @Option(
    help:
      "How quantized matrices lie in safetensors: compressed-tensors, gptq or compress (default: what suits their formats)."
  )
  var layout: PackedLayout?
}

extension Loader: ExpressibleByArgument {}
extension PackedLayout: ExpressibleByArgument {}
extension ActivationPrecision: ExpressibleByArgument {}
