internal import ModelFiles
public import Models
public import TensorCore

/// A model of random weights in the shape of a known one: speed depends on shapes and formats, not on what weights say.
///
/// The same name gives the same bytes on every machine and any number of threads. Weights are made when they are read, one
/// tensor at a time.
public struct SyntheticModel: Sendable, Equatable {
  /// The number of transformer blocks.
  public var layers: Int
  /// How matrices are stored; nil for what the container takes by default (bf16).
  public var format: TensorFormat?

  private static let name = "llama-1b"
  /// TinyLlama's shape.
  private static let (width, hidden, heads, keyValueHeads, usualLayers) = (2048, 5632, 32, 4, 22)
  /// The formats that can be asked for.
  public static let formats: [TensorFormat] = [
    .bf16, .f16, .f32, .q8_0, .q6_k, .q5_k, .q5_0, .q4_k, .q4_0, .iq4_nl, .q3_k, .q2_k,
  ]

  /// The model that `text` names: `llama-1b`, `llama-1b-44` (44 blocks), `llama-1b:q4_k`, `llama-1b-44:q4_k`; nil for anything
  /// else.
  public init?(_ text: String) {
    let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
    guard let shape = parts.first, shape.hasPrefix(SyntheticModel.name) else { return nil }
    let rest = shape.dropFirst(SyntheticModel.name.count)
    if rest.isEmpty {
      layers = SyntheticModel.usualLayers
    } else {
      guard rest.first == "-", let count = Int(rest.dropFirst()), (1...512).contains(count) else {
        return nil
      }
      layers = count
    }
    guard parts.count == 2 else { return }
    guard let format = TensorFormat(rawValue: String(parts[1])), SyntheticModel.formats.contains(format)
    else {
      return nil
    }
    self.format = format
  }

  /// The name without a format: "llama-1b-22".
  public var name: String { "\(SyntheticModel.name)-\(layers)" }

  /// The model in bf16, with a tokenizer that llama.cpp loads: letters, and all words of up to three.
  ///
  /// - Throws: ``ModelError``, if shapes and configuration did not fit.
  public func checkpoint() throws -> Checkpoint {
    var source = ModelSource(
      container: .safetensors, path: name, files: [], tensors: SyntheticModel.tensors(layers: layers))
    source.configuration = configuration
    source.metadata = SyntheticVocabulary.entries
    return try Checkpoint.load(source)
  }

  private var configuration: JSONValue {
    .object(
      JSONObject([
        ("architectures", .array([.string("LlamaForCausalLM")])), ("model_type", .string("llama")),
        ("hidden_act", .string("silu")), ("hidden_size", .integer(Self.width)),
        ("intermediate_size", .integer(Self.hidden)), ("num_hidden_layers", .integer(layers)),
        ("num_attention_heads", .integer(Self.heads)), ("num_key_value_heads", .integer(Self.keyValueHeads)),
        ("max_position_embeddings", .integer(2048)), ("vocab_size", .integer(SyntheticVocabulary.count)),
        ("rms_norm_eps", .number(1e-5)), ("rope_theta", .number(10000)),
        ("tie_word_embeddings", .bool(false)),
        ("bos_token_id", .integer(1)), ("eos_token_id", .integer(2)), ("torch_dtype", .string("bfloat16")),
      ]))
  }

  /// Deviations are those that training starts with: 0.02, and less by √(2 · layers) in what is added to the residual stream, so
  /// that activations stay of the size that they have in real models.
  private static func tensors(layers: Int) -> [StoredTensor] {
    let (added, kv) = (0.02 / (2 * Double(layers)).squareRoot(), width / heads * keyValueHeads)
    func matrix(_ name: String, _ rows: Int, _ columns: Int, _ deviation: Double = 0.02) -> StoredTensor {
      RandomWeights(name: name, rows: rows, columns: columns, deviation: deviation).tensor
    }
    func norm(_ name: String) -> StoredTensor {
      StoredTensor(name: name, shape: [width], format: .bf16, bytes: TensorBytes(RandomWeights.ones(width)))
    }
    let blocks = (0..<layers).flatMap { layer -> [StoredTensor] in
      let block = "model.layers.\(layer)."
      return [
        norm(block + "input_layernorm.weight"), matrix(block + "self_attn.q_proj.weight", width, width),
        matrix(block + "self_attn.k_proj.weight", kv, width),
        matrix(block + "self_attn.v_proj.weight", kv, width),
        matrix(block + "self_attn.o_proj.weight", width, width, added),
        norm(block + "post_attention_layernorm.weight"),
        matrix(block + "mlp.gate_proj.weight", hidden, width),
        matrix(block + "mlp.up_proj.weight", hidden, width),
        matrix(block + "mlp.down_proj.weight", width, hidden, added),
      ]
    }
    return [matrix("model.embed_tokens.weight", SyntheticVocabulary.count, width)] + blocks + [
      norm("model.norm.weight"), matrix("lm_head.weight", SyntheticVocabulary.count, width),
    ]
  }
}

/// The vocabulary of synthetic models: what SentencePiece's BPE makes words of up to three letters of.
enum SyntheticVocabulary {
  /// The number of pieces.
  static let count = 32_000

  /// The pieces: three special ones, the 256 bytes, printable ASCII and the space, then runs of letters, likelier ones first.
  static var pieces: [String] {
    var pieces = ["<unk>", "<s>", "</s>"]
    let digits = Array("0123456789ABCDEF")
    pieces += (0..<256).map { "<0x\(digits[$0 >> 4])\(digits[$0 & 15])>" }
    pieces.append("\u{2581}")
    pieces += (0x21...0x7E).map { String(UnicodeScalar(UInt8($0))) }
    let letters = "etaoinshrdlucmfwypvbgkjqxz".map(String.init)
    var runs = letters
    for length in 1...3 {
      if length > 1 { runs = runs.flatMap { run in letters.map { run + $0 } } }
      if length > 1 { pieces += runs }
      pieces += runs.map { "\u{2581}" + $0 }
    }
    return Array(pieces.prefix(count))
  }

  /// The tokenizer as GGUF metadata.
  static var entries: [GGUFEntry] {
    let pieces = pieces
    let bytes = 3..<259
    let types = pieces.indices.map { id -> Int32 in id == 0 ? 2 : id < 3 ? 3 : bytes.contains(id) ? 6 : 1 }
    let scores = pieces.indices.map { $0 < 259 ? 0 : Float(259 - $0) }
    return [
      GGUFEntry("tokenizer.ggml.model", .string("llama")),
      GGUFEntry("tokenizer.ggml.tokens", .strings(pieces)),
      GGUFEntry("tokenizer.ggml.scores", .float32s(scores)),
      GGUFEntry("tokenizer.ggml.token_type", .int32s(types)),
      GGUFEntry("tokenizer.ggml.bos_token_id", .uint32(1)),
      GGUFEntry("tokenizer.ggml.eos_token_id", .uint32(2)),
      GGUFEntry("tokenizer.ggml.unknown_token_id", .uint32(0)),
      GGUFEntry("tokenizer.ggml.add_bos_token", .bool(true)),
      GGUFEntry("tokenizer.ggml.add_eos_token", .bool(false)),
    ]
  }
}
