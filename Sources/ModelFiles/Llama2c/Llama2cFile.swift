public import TensorCore

/// Models of karpathy/llama2.c: versions 0 (no magic number), 1 (float32 with a header of 256 bytes) and 2 (int8 in groups).
///
/// Tensors come out under Hugging Face's names and in its layout, so that the same weights are the same bytes whatever file they
/// came in.
public enum Llama2cFile {
  /// Whether `bytes`, the whole file, is such a model. Version 0 has no magic number: its seven sizes must be plausible and add
  /// up to the file's size exactly.
  public static func recognizes(_ bytes: UnsafeRawBufferPointer) -> Bool {
    if Llama2cHeader.hasMagic(bytes) { return true }
    guard let header = try? Llama2cHeader(bytes, path: ""), let layout = Llama2cLayout(header) else {
      return false
    }
    return layout.fileSize == bytes.count
  }

  /// Reads the model; its configuration is made from the header.
  ///
  /// - Throws: ``ModelFileError``.
  public static func read(_ file: MappedFile) throws -> ModelSource { try read(file.region, path: file.path) }

  /// Reads the model that `file` holds, which came from `path`.
  package static func read(_ file: ByteRegion, path: String) throws(ModelFileError) -> ModelSource {
    guard file.count > 0 else { throw ModelFileError(.notAModel, path: path, "the file is empty") }
    let header = try Llama2cHeader(file.buffer, path: path)
    guard let layout = Llama2cLayout(header) else {
      throw ModelFileError(
        .badStructure, path: path,
        "the llama2.c header asks for a file that cannot be"
          + (header.version == .v2 ? " (do tensors divide into groups of \(header.groupSize)?)" : ""))
    }
    guard layout.fileSize == file.count else {
      throw ModelFileError(
        file.count < layout.fileSize ? .truncated : .badStructure, path: path,
        "the llama2.c header asks for \(layout.fileSize) bytes, the file has \(file.count)",
        advice: "download or export the file again")
    }
    if let first = layout.tensors.first(where: { $0.scales != nil }) {
      try checkScales(first, header, file, path: path)
    }
    var source = ModelSource(container: .llama2c, path: path, files: [path], tensors: [])
    source.tensors = layout.tensors.map { tensor in
      StoredTensor(
        name: tensor.name, shape: tensor.shape, format: .f32,
        bytes: Llama2cRows(tensor, groupSize: header.groupSize).bytes(of: file))
    }
    source.configuration = configuration(header)
    if header.version == .v2 {
      source.notes.append(
        "was Q8_0: int8 in groups of \(header.groupSize) with float32 scales, read as float32")
    }
    return source
  }

  /// Early exporters of version 2 wrote all scales behind all tensors; the sizes are the same, so look at what should be scales.
  private static func checkScales(
    _ tensor: Llama2cTensor, _ header: Llama2cHeader, _ file: ByteRegion, path: String
  ) throws(ModelFileError) {
    guard let start = tensor.scales else { return }
    for group in 0..<min(256, tensor.elementCount / header.groupSize) {
      let bits = file.base.loadUnaligned(fromByteOffset: start + 4 * group, as: UInt32.self)
        .littleEndian
      let scale = Float(bitPattern: bits)
      guard scale >= 0, scale.isFinite else {
        throw ModelFileError(
          .badStructure, path: path,
          "tensor '\(tensor.name)' has scale \(scale) in group \(group)",
          advice: "if the file is from an exporter that wrote the scales last, export it again")
      }
    }
  }

  /// The header as a Hugging Face `config.json` would say it.
  private static func configuration(_ header: Llama2cHeader) -> JSONValue {
    .object(
      JSONObject([
        ("architectures", .array([.string("LlamaForCausalLM")])),
        ("model_type", .string("llama")),
        ("hidden_size", .integer(header.width)),
        ("intermediate_size", .integer(header.hidden)),
        ("num_hidden_layers", .integer(header.layers)),
        ("num_attention_heads", .integer(header.heads)),
        ("num_key_value_heads", .integer(header.keyHeads)),
        ("head_dim", .integer(header.headSize)),
        ("vocab_size", .integer(header.vocabulary)),
        ("max_position_embeddings", .integer(header.positions)),
        ("rms_norm_eps", .number(1e-5)),
        ("rope_theta", .number(10000)),
        ("hidden_act", .string("silu")),
        ("tie_word_embeddings", .bool(header.isShared)),
        ("bos_token_id", .integer(1)),
        ("eos_token_id", .integer(2)),
      ]))
  }
}
