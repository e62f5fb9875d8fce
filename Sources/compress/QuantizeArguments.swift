public import ArgumentParser
public import Passes
internal import TensorCore

/// What matrices become, for commands that quantize.
struct QuantizeArguments: ParsableArguments {
  @Flag(help: "Quantize to 8 bits (Q8_0; in safetensors int8.channel).")
  var int8 = false

  @Flag(
    help: "Quantize to 4 bits (Q4_K, or IQ4_NL where rows do not divide by 256; in safetensors int4.g128).")
  var int4 = false

  @Flag(
    help:
      "Quantize to 8 bits with activations in 8 bits, a scale a row and a scale a token (safetensors: int-quantized)."
  )
  var w8a8 = false

  @Option(
    help:
      "With --w8a8: how far outliers of activations go into the weights: auto, none, or 0 to 1 (default: auto)."
  )
  var smooth: Smoothing?

  @Option(
    help:
      "The size of the finished artifact: 40MB, 38MiB. In safetensors any size can be had, in GGUF formats are chosen."
  )
  var targetSize: String?

  @Option(help: "The bits of the finished artifact for each weight: 3.8.")
  var targetBpw: Double?

  @Option(
    help:
      "How codes are chosen: rtn, imatrix, gptq, awq (default: gptq if the model can be calibrated, else rtn)."
  )
  var method: QuantizePass.Method?

  @Option(
    help:
      "How much work rounding is worth: usual, or max: in blocks of 4 bits or so each block's codes and scales are learned once more, by gradients of what it puts out (default: usual)."
  )
  var effort: RoundingEffort?

  @Flag(help: "Quantize tensors that are quantized already.")
  var allowRequantize = false

  /// Whether any flag asks for a stage.
  var isGiven: Bool { int8 || int4 || w8a8 || goal != nil }

  /// The size asked for, or nil.
  private var goal: SizeGoal? {
    targetSize.flatMap { SizeGoal(size: $0) } ?? targetBpw.map { .bitsPerWeight($0) }
  }

  func validate() throws {
    if [int8, int4, w8a8].filter(\.self).count > 1 {
      throw ValidationError("Choose --int8, --int4 or --w8a8; a recipe file can hold several stages.")
    }
    if effort == .max, int8 || w8a8 {
      throw ValidationError("--effort max belongs to --int4 or a target: 8-bit codes have little to learn.")
    }
    if smooth != nil && !w8a8 { throw ValidationError("--smooth belongs to --w8a8.") }
    if let targetSize, SizeGoal(size: targetSize) == nil {
      throw ValidationError("--target-size must be a size such as 40MB or 38MiB, not '\(targetSize)'.")
    }
    if let targetBpw, !(1...32).contains(targetBpw) {
      throw ValidationError("--target-bpw must be from 1 to 32.")
    }
    if targetSize != nil && targetBpw != nil {
      throw ValidationError("Choose --target-size or --target-bpw.")
    }
    if (int8 || int4 || w8a8) && goal != nil {
      throw ValidationError("Choose --int8/--int4/--w8a8 or a target; a target chooses the formats itself.")
    }
  }

  /// The pass of the flags; `hasBudget` makes it the smallest that keeps the budget where no flag says more.
  ///
  /// - Parameter ships: whether a target or a budget is met with uniform codes, not with block formats.
  func pass(hasBudget: Bool, ships: Bool) throws -> (any Pass)? {
    var pass: QuantizePass
    if ships, let goal = goal ?? (hasBudget && !int8 && !int4 && !w8a8 ? .budget : nil) {
      guard effort != .max else {
        throw ValidationError(
          "--effort max belongs to block formats: --int4, or a target with --format gguf. Uniform codes gain nothing by it."
        )
      }
      return ShipPass(goal, allowRequantize: allowRequantize)
    }
    if w8a8 {
      pass = QuantizePass(.format(.w8a8))
      pass.smoothing = smooth ?? .chosen
    } else if int8 || int4 {
      pass = QuantizePass(int8 ? .int8 : .int4)
    } else if let goal {
      pass = QuantizePass(.mixed(goal))
    } else if hasBudget {
      pass = QuantizePass(.mixed(.budget))
    } else {
      return nil
    }
    pass.method = method
    pass.effort = effort ?? .usual
    pass.allowRequantize = allowRequantize
    return pass
  }
}

extension QuantizePass.Method: ExpressibleByArgument {}

extension RoundingEffort: ExpressibleByArgument {}

extension Smoothing: ExpressibleByArgument {
  public init?(argument: String) { self.init(argument) }
}
