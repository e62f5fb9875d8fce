public import ModelFiles
public import Models
internal import TensorCore

/// Stage 0: the model as it is, in formats that the output container can hold.
///
/// Matrices keep their format; vectors (norms, biases) become f32, as every GGUF runtime expects; f64 becomes f32 and f8 becomes
/// bf16 (which holds every f8 value exactly). Quantized tensors stay as they are.
public struct BaselinePass: Pass {
  public static let name = "baseline"
  public let label = "baseline"
  public var options: JSONValue { .object(JSONObject()) }

  /// The pass.
  public init() {}

  public init(options: inout RecipeMapping) throws(RecipeError) { try options.finish(known: []) }

  public func plan(for checkpoint: Checkpoint) throws -> PassPlan {
    var entries: [PassPlan.Entry] = []
    for tensor in checkpoint.tensors {
      let role = checkpoint.role(of: tensor)
      let (format, note) = treatment(of: tensor)
      entries.append(
        PassPlan.Entry(
          name: tensor.name, role: role, shape: tensor.shape, from: tensor.format, to: format, note: note))
    }
    return PassPlan(entries: entries)
  }

  public func apply(_ plan: PassPlan, to checkpoint: Checkpoint, in context: PassContext) throws -> PassResult
  {
    PassResult(checkpoint: plan.reencode(checkpoint), plan: plan)
  }

  private func treatment(of tensor: StoredTensor) -> (TensorFormat, String?) {
    if tensor.shape.count < 2, tensor.format.isFloat { return (.f32, nil) }
    return switch tensor.format {
    case .f64: (.f32, "f64 rounded to f32")
    case .f8_e4m3, .f8_e5m2: (.bf16, "f8 widened to bf16, without loss")
    default: (tensor.format, nil)
    }
  }
}
