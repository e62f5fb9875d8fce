internal import ModelFiles
internal import Models
internal import Passes
internal import TensorCore

/// A checkpoint as the file that ships.
enum ContainerOutput {
  /// The layout of `checkpoint` in `container`.
  ///
  /// - Parameter packed: how quantized matrices lie in safetensors; nil for what suits their formats.
  /// - Throws: ``JobError`` when the container cannot hold a tensor's format.
  static func layout(
    of checkpoint: Checkpoint, in container: OutputContainer, packed: PackedLayout? = nil
  ) throws -> ContainerLayout {
    switch container {
    case .gguf: try gguf(checkpoint)
    case .safetensors: try safetensors(checkpoint, packed)
    }
  }

  /// `checkpoint` with the few tensors that `container` has no type for in one that holds the same values; done before a pass
  /// is planned, so that plans and artifacts speak of the same formats.
  static func prepared(_ checkpoint: Checkpoint, for container: OutputContainer, stages: [any Pass])
    -> Checkpoint
  {
    guard container == .gguf else { return checkpoint }
    var result = checkpoint
    result.tensors = checkpoint.tensors.map { $0.widenedForGGUF() }
    // All block formats of GGUF hold 32 weights or more.
    let isNarrow = stages.contains { ($0 as? QuantizePass)?.target.isNarrow ?? false }
    return isNarrow ? result.paddingFeedForward(to: 32) ?? result : result
  }

  private static func gguf(_ checkpoint: Checkpoint) throws -> ContainerLayout {
    if let tensor = checkpoint.tensors.first(where: { $0.format == .w8a8 }) {
      throw JobError(
        .badInput,
        "\(checkpoint.source.path): GGUF cannot hold '\(tensor.name)' as w8a8, and what runs GGUF rounds activations to 8 "
          + "bits anyway; use --int8, or --format safetensors")
    }
    var (metadata, tensors) = try checkpoint.ggufContents()
    if let tensor = tensors.first(where: { GGUFTypes.number(of: $0.format) == nil }) {
      throw JobError(
        .badInput,
        "\(checkpoint.source.path): GGUF has no type for tensor '\(tensor.name)' (\(tensor.format.rawValue)); "
          + "use --format safetensors")
    }
    let dominant = dominantFormat(of: tensors)
    set("general.file_type", .uint32(fileType(of: dominant)), in: &metadata)
    if tensors.contains(where: { $0.format.isQuantized }) {
      set("general.quantization_version", .uint32(2), in: &metadata)
    }
    for place in tensors.indices where tensors[place].isSparse {
      // Codes with holes: only their frequencies are worth coding.
      tensors[place].stream = .codes { _ in [] }
    }
    return try GGUFWriter.layout(metadata: metadata, tensors: tensors)
  }

  private static func safetensors(_ checkpoint: Checkpoint, _ packed: PackedLayout?) throws -> ContainerLayout
  {
    let contents = try checkpoint.safetensorsContents(layout: packed)
    return try SafetensorsWriter.layout(tensors: contents.tensors, metadata: contents.metadata)
  }

  /// The format that holds most weights.
  static func dominantFormat(of tensors: [StoredTensor]) -> TensorFormat {
    var counts: [TensorFormat: Int] = [:]
    for tensor in tensors where tensor.shape.count >= 2 {
      counts[tensor.format, default: 0] += tensor.elementCount
    }
    return counts.max { ($0.value, $1.key.rawValue) < ($1.value, $0.key.rawValue) }?.key ?? .f32
  }

  /// llama.cpp's number of a file whose matrices are mostly in `format` (`llama_ftype`).
  private static func fileType(of format: TensorFormat) -> UInt32 {
    switch format {
    case .f16: 1
    case .q4_0: 2
    case .q4_1: 3
    case .q8_0: 7
    case .q5_0: 8
    case .q5_1: 9
    case .q2_k: 10
    case .q3_k: 12
    case .q4_k: 14
    case .q5_k: 16
    case .q6_k: 18
    case .iq4_nl: 25
    case .iq4_xs: 30
    case .bf16: 32
    default: 0
    }
  }

  private static func set(_ key: String, _ value: GGUFValue, in metadata: inout [GGUFEntry]) {
    if let place = metadata.firstIndex(where: { $0.key == key }) {
      metadata[place].value = value
    } else {
      // Behind the other general keys, where readers and people look for it.
      let place = metadata.lastIndex { $0.key.hasPrefix("general.") }.map { $0 + 1 } ?? 0
      metadata.insert(GGUFEntry(key, value), at: place)
    }
  }
}
