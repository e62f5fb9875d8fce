public import ModelFiles
import TensorCore

/// What a Hugging Face folder needs besides the tensors' bytes.
public struct SafetensorsContents: Sendable {
  /// The tensors under their Hugging Face names, in formats that safetensors can store.
  public var tensors: [StoredTensor]
  /// The file's `__metadata__`.
  public var metadata: [String: String]
  /// `config.json` as text; nil when the checkpoint has no configuration.
  public var configuration: String?
  /// Every other file of the folder: relative path and contents.
  public var files: [(path: String, contents: [UInt8])]
}

extension Checkpoint {
  /// The checkpoint as a Hugging Face folder with one safetensors file.
  ///
  /// - Parameter layout: how quantized matrices are stored; nil for what suits their formats.
  /// - Throws: ``ModelError`` when a tensor does not fit the layout.
  public func safetensorsContents(layout wanted: PackedLayout? = nil) throws -> SafetensorsContents {
    let layout = try packedLayout(wanted)
    var files = source.tokenizerFiles.map { ($0.kind.rawValue, $0.contents.array) }
    if let generation = source.generation {
      files.append(("generation_config.json", Array((generation.text(indent: 2) + "\n").utf8)))
    }
    if architecture is BertArchitecture, !files.contains(where: { $0.0 == "modules.json" }) {
      files += poolingFiles()
    }
    var object = configuration.objectValue ?? JSONObject()
    object[BertConfiguration.poolingKey] = nil
    if let layout { object["quantization_config"] = quantizationConfiguration(layout) }
    if layout == .gptq {
      let settings = quantizationConfiguration(.gptq).text(indent: 2) + "\n"
      files.append(("quantize_config.json", Array(settings.utf8)))
    }
    var metadata = ["format": "pt"]
    if let layout { metadata["quantization_config"] = quantizationConfiguration(layout).text() }
    let text = object.keys.isEmpty ? nil : JSONValue.object(object).text(indent: 2) + "\n"
    return SafetensorsContents(
      tensors: layout.map { packedTensors($0) } ?? tensors, metadata: metadata, configuration: text,
      files: files.map { (path: $0.0, contents: $0.1) })
  }

  /// What sentence-transformers reads, made from the configuration.
  private func poolingFiles() -> [(String, [UInt8])] {
    let pooling = configuration[BertConfiguration.poolingKey]
    let mode = pooling?["pooling_mode"]?.stringValue ?? "mean"
    let module = { (place: Int, kind: String, path: String) -> JSONValue in
      .object(
        JSONObject([
          ("idx", .integer(place)), ("name", .string(String(place))), ("path", .string(path)),
          ("type", .string("sentence_transformers.models.\(kind)")),
        ]))
    }
    var modules = [module(0, "Transformer", ""), module(1, "Pooling", "1_Pooling")]
    if pooling?["normalize"]?.boolValue ?? false { modules.append(module(2, "Normalize", "2_Normalize")) }
    let settings = JSONValue.object(
      JSONObject([
        ("word_embedding_dimension", .integer(configuration["hidden_size"]?.intValue ?? 0)),
        ("pooling_mode_cls_token", .bool(mode == "cls")), ("pooling_mode_mean_tokens", .bool(mode == "mean")),
        ("pooling_mode_max_tokens", .bool(false)), ("pooling_mode_mean_sqrt_len_tokens", .bool(false)),
      ]))
    return [
      ("modules.json", Array((JSONValue.array(modules).text(indent: 2) + "\n").utf8)),
      ("1_Pooling/config.json", Array((settings.text(indent: 2) + "\n").utf8)),
    ]
  }
}
