internal import ModelFiles
public import Models
internal import TensorCore

/// A program that an artifact is made for.
public enum Loader: String, Sendable, CaseIterable {
  case vllm, transformers
  case llamaCpp = "llama.cpp"
  case mlx
}

/// What a loader takes; the one place that knows.
public struct LoaderRules: Sendable {
  /// The program.
  public var loader: Loader
  /// What it reads, the usual one first.
  public var containers: [OutputContainer]
  /// How quantized matrices may lie in safetensors.
  public var layouts: [PackedLayout]
  /// The formats of quantized matrices; nil for whatever the container holds.
  var quantized: Set<TensorFormat>?
  /// Roles whose matrices it puts together, so that they must be stored alike.
  var fused: [[TensorRole]]
  /// What to do about a format that it does not take.
  var advice: String

  /// The table: one line a loader.
  static let all: [LoaderRules] = [
    LoaderRules(
      loader: .vllm, containers: [.safetensors], layouts: [.compressedTensors, .gptq], quantized: groups,
      fused: [[.query, .key, .value], [.gate, .up]],
      advice: "it takes int4.g128, int4.g64, int4.g32, int8.channel and w8a8"),
    LoaderRules(
      loader: .transformers, containers: [.safetensors], layouts: [.compressedTensors, .gptq],
      quantized: groups,
      fused: [], advice: "it takes int4.g128, int4.g64, int4.g32, int8.channel and w8a8"),
    LoaderRules(
      loader: .llamaCpp, containers: [.gguf], layouts: [], quantized: nil, fused: [],
      advice: "it takes GGUF's block formats"),
    LoaderRules(
      loader: .mlx, containers: [.safetensors], layouts: [], quantized: [], fused: [],
      advice: "only floats are written for it: quantize what it loads with its own converter"),
  ]

  private static let groups: Set<TensorFormat> = [.int4_g32, .int4_g64, .int4_g128, .int8_channel, .w8a8]

  /// The rules of a loader.
  public static func of(_ loader: Loader) -> LoaderRules {
    guard let rules = all.first(where: { $0.loader == loader }) else {
      preconditionFailure("every loader has a line in the table")
    }
    return rules
  }

  /// Refuses a checkpoint that the loader would not take.
  ///
  /// - Parameters:
  ///   - container: what it is written as.
  ///   - layout: how quantized matrices lie in safetensors; nil when there are none.
  /// - Throws: ``PassError`` that says what does not fit and what would.
  public func check(_ checkpoint: Checkpoint, in container: OutputContainer, layout: PackedLayout?) throws {
    guard containers.contains(container) else {
      let known = containers.map(\.rawValue).joined(separator: " or ")
      throw PassError("\(loader.rawValue) loads \(known), not \(container.rawValue): leave --format out")
    }
    for tensor in checkpoint.tensors where tensor.format.isQuantized {
      if let quantized, !quantized.contains(tensor.format) {
        throw PassError(
          "\(loader.rawValue) does not load '\(tensor.name)' as \(tensor.format.rawValue): \(advice)")
      }
    }
    if let layout, container == .safetensors, !layouts.contains(layout) {
      throw PassError("\(loader.rawValue) does not load the \(layout.rawValue) layout: \(advice)")
    }
    for roles in fused { try checkFused(roles, of: checkpoint) }
  }

  /// Matrices of one block that the loader fuses have one format.
  private func checkFused(_ roles: [TensorRole], of checkpoint: Checkpoint) throws {
    var first: [Substring: (name: String, format: TensorFormat)] = [:]
    for tensor in checkpoint.tensors where roles.contains(checkpoint.role(of: tensor)) {
      // The block: the name without the layer and its ".weight".
      let block = tensor.name.split(separator: ".").dropLast(2).joined(separator: ".")[...]
      guard let other = first[block] else {
        first[block] = (tensor.name, tensor.format)
        continue
      }
      guard other.format == tensor.format || !(other.format.isQuantized || tensor.format.isQuantized) else {
        throw PassError(
          "\(loader.rawValue) fuses '\(other.name)' (\(other.format.rawValue)) and '\(tensor.name)' "
            + "(\(tensor.format.rawValue)): store them alike")
      }
    }
  }
}
