import ModelFiles
import TensorCore

/// Turns a model source into a checkpoint, step by step; each step says what it changed.
struct CheckpointLoader {
  var source: ModelSource
  var notes: [String]
  var configuration: JSONValue = .object(JSONObject())
  var architecture: (any Architecture)?

  init(_ source: ModelSource) {
    self.source = source
    notes = source.notes
  }

  mutating func load() throws -> Checkpoint {
    do { return try assemble() } catch var error as ModelError where error.path.isEmpty {
      error.path = source.path
      throw error
    }
  }

  private mutating func assemble() throws -> Checkpoint {
    guard !source.tensors.isEmpty else {
      throw ModelError(.missingTensor, source.path, "there are no tensors in it")
    }
    source = try source.unpacked()
    try findArchitecture()
    var tensors: [StoredTensor]
    var isTied = false
    if let architecture {
      tensors = try renamed(for: architecture)
      isTied = try tie(&tensors, architecture)
      tensors = try checked(tensors, architecture)
    } else {
      tensors = GGUFShortNames.restored(source.tensors, source.metadata)
    }
    let tokenizer = try tokenizer(rows: architecture?.vocabularySize)
    return Checkpoint(
      name: CheckpointName.name(of: source), architecture: architecture, configuration: configuration,
      tensors: tensors, isTied: isTied, tokenizer: tokenizer, source: source, notes: notes)
  }

  // MARK: Architecture

  /// Finds the configuration and the architecture it names. A model that cannot be run keeps its own names, with a note.
  private mutating func findArchitecture() throws {
    guard let type = try architectureType() else { return }
    do {
      if source.container == .gguf { configuration = try type.configuration(fromGGUF: source) }
      if type is BertArchitecture.Type { addPooling() }
      architecture = try type.init(configuration: configuration)
      noteWindow()
    } catch let error as ModelError where error.reason == .unsupported {
      notes.append("\(error.message): compressed data-free, not evaluated")
    }
  }

  /// llama.cpp has no windows for these architectures.
  private mutating func noteWindow() {
    guard let llama = architecture as? LlamaArchitecture,
      let window = llama.configuration.windows.compactMap({ $0 }).min(), window < llama.contextLength
    else { return }
    notes.append(
      "attention looks back \(window) tokens; llama.cpp does not apply that window, so longer texts differ there"
    )
  }

  private mutating func architectureType() throws -> (any Architecture.Type)? {
    if source.container == .gguf {
      let name = GGUFMetadata(source.metadata).architecture
      configuration = .object(JSONObject([("model_type", .string(name))]))
      if let type = ArchitectureList.namedInGGUF(name) { return type }
      return unknown(name)
    }
    guard let given = source.configuration else {
      notes.append(withoutConfiguration())
      return nil
    }
    configuration = given
    let names = given["architectures"]?.arrayValue?.compactMap(\.stringValue) ?? []
    let name = given["model_type"]?.stringValue ?? names.first.map(Self.modelType(ofClass:))
    guard let name else { return unknown("") }
    guard let type = ArchitectureList.named(name) else { return unknown(name) }
    if given["model_type"] == nil, var object = given.objectValue {
      object["model_type"] = .string(name)
      configuration = .object(object)
    }
    return type
  }

  private mutating func unknown(_ name: String) -> (any Architecture.Type)? {
    notes.append("unknown architecture '\(name)': compressed data-free, not evaluated")
    return nil
  }

  /// "LlamaForCausalLM" → "llama".
  private static func modelType(ofClass name: String) -> String {
    for ending in ["ForCausalLM", "ForMaskedLM", "LMHeadModel", "Model"] where name.hasSuffix(ending) {
      return name.dropLast(ending.count).lowercased()
    }
    return name.lowercased()
  }

  /// What a checkpoint without a configuration looks like, and what to add.
  private func withoutConfiguration() -> String {
    let rest = "compressed data-free, not evaluated; put its config.json beside it to run it"
    let embedding = source.tensors.first {
      LlamaArchitecture.role(byName: $0.name) == .tokenEmbedding && $0.shape.count == 2
    }
    let blocks = source.tensors.filter { $0.name.hasSuffix("self_attn.q_proj.weight") }.count
    guard let embedding, blocks > 0 else { return "no config.json: \(rest)" }
    return """
      no config.json: the tensors look like a llama family model (\(blocks) layers, width \(embedding.rowLength), \
      vocabulary \(embedding.rowCount)), but the number of heads and the rotary base cannot be told from them: \(rest)
      """
  }

  /// Adds what sentence-transformers' files say about pooling to a BERT configuration.
  private mutating func addPooling() {
    guard var object = configuration.objectValue, object[BertConfiguration.poolingKey] == nil else { return }
    func file(_ kind: TokenizerFile.Kind) -> JSONValue? {
      source.tokenizerFiles.first { $0.kind == kind }.flatMap { try? JSONValue(parsing: $0.contents.buffer) }
    }
    let modules = file(.sentenceTransformers)?.arrayValue ?? []
    let normalizes = modules.contains { $0["type"]?.stringValue?.hasSuffix("Normalize") ?? false }
    var mode = "mean"
    if let pooling = file(.pooling) {
      let modes = pooling.objectValue?.members.filter {
        $0.key.hasPrefix("pooling_mode_") && $0.value == .bool(true)
      }
      switch modes?.map(\.key) ?? [] {
      case ["pooling_mode_mean_tokens"]: mode = "mean"
      case ["pooling_mode_cls_token"]: mode = "cls"
      case let others: mode = others.map { $0.dropFirst("pooling_mode_".count) }.joined(separator: " and ")
      }
    } else {
      notes.append("no pooling configuration: mean pooling, embeddings not normalised")
    }
    object[BertConfiguration.poolingKey] = .object(
      JSONObject([("pooling_mode", .string(mode)), ("normalize", .bool(normalizes))]))
    configuration = .object(object)
  }

  // MARK: Tensors

  /// The tensors under canonical names and in canonical row order, without buffers.
  private mutating func renamed(for architecture: any Architecture) throws -> [StoredTensor] {
    var result: [StoredTensor] = []
    var originals: [String: String] = [:]
    var left: [String: [String]] = [:]
    let tables = Set(architecture.ggufTables.map(\.name))
    let shapes = source.container == .gguf ? CheckpointLoader.shapes(architecture) : [:]
    for var tensor in source.tensors {
      let original = tensor.name
      if source.container == .gguf {
        if tables.contains(original) { continue }
        guard let name = architecture.canonicalName(ofGGUF: original) else { throw stray(original, tensor) }
        tensor.name = name
        // Shapes are checked later with their own message; an order is as long as the configuration says, whatever the file holds.
        if shapes[name] == tensor.shape, let order = architecture.ggufRowOrder(of: name) {
          if tensor.shape.count == 1, tensor.format.isQuantized { tensor = tensor.convertedToFloat32() }
          tensor = tensor.gatheringRows(CheckpointLoader.inverse(order))
        }
      } else {
        tensor.name = architecture.canonicalName(of: original)
      }
      if let reason = architecture.reasonToLeaveOut(tensor.name) {
        left[reason, default: []].append(original)
        continue
      }
      if let other = originals.updateValue(original, forKey: tensor.name) {
        throw ModelError(
          .badConfiguration, source.path, "tensors '\(other)' and '\(original)' are both '\(tensor.name)'")
      }
      result.append(tensor)
    }
    for (reason, names) in left.sorted(by: { $0.key < $1.key }) {
      let shown =
        names.prefix(3).joined(separator: ", ") + (names.count > 3 ? ", … (\(names.count) tensors)" : "")
      notes.append("left out \(shown): \(reason)")
    }
    return result
  }

  /// The shape of every tensor that the architecture knows.
  private static func shapes(_ architecture: any Architecture) -> [String: [Int]] {
    Dictionary(
      (architecture.requiredTensors + architecture.optionalTensors).map { ($0.name, $0.shape) },
      uniquingKeysWith: { first, _ in first })
  }

  private static func inverse(_ order: [Int]) -> [Int] {
    var result = [Int](repeating: 0, count: order.count)
    for (place, row) in order.enumerated() { result[row] = place }
    return result
  }

  private func stray(_ name: String, _ tensor: StoredTensor) -> ModelError {
    ModelError(
      .unsupported, source.path,
      """
      tensor '\(name)' (\(tensor.shapeText)) has no place in a '\(configuration["model_type"]?.stringValue ?? "")' \
      model of this configuration; it would be lost
      """)
  }

  /// Removes an output that is the embedding: by the file's own aliases, by the configuration, or byte for byte.
  private mutating func tie(_ tensors: inout [StoredTensor], _ architecture: any Architecture) throws -> Bool
  {
    guard let tie = architecture.tie else { return false }
    let says = configuration["tie_word_embeddings"]?.boolValue
    guard let embedding = tensors.first(where: { $0.name == tie.embedding }) else {
      // A file whose first name for the shared storage is the output's.
      guard isAlias(tie.embedding, of: tie.output, architecture),
        let place = tensors.firstIndex(where: { $0.name == tie.output })
      else { return false }
      tensors[place].name = tie.embedding
      setTied(true)
      return true
    }
    guard let place = tensors.firstIndex(where: { $0.name == tie.output }) else {
      let isShared = says ?? true || isAlias(tie.output, of: tie.embedding, architecture)
      guard isShared else {
        throw ModelError(
          .missingTensor, source.path,
          "tensor '\(tie.output)' is missing, and config.json says that it is not the embedding (tie_word_embeddings)"
        )
      }
      if says == nil { notes.append("no '\(tie.output)': the output is the token embedding") }
      setTied(true)
      return true
    }
    if try tensors[place].hasSameContents(as: embedding) {
      tensors.remove(at: place)
      if says == false { notes.append("'\(tie.output)' equals the token embedding: stored once") }
      setTied(true)
      return true
    }
    guard says != true else {
      throw ModelError(
        .badConfiguration, source.path,
        "config.json ties the output to the embedding (tie_word_embeddings), but '\(tie.output)' differs from it; set it to false if the output is its own"
      )
    }
    setTied(false)
    return false
  }

  private func isAlias(_ name: String, of target: String, _ architecture: any Architecture) -> Bool {
    source.aliases.contains {
      architecture.canonicalName(of: $0.key) == name && architecture.canonicalName(of: $0.value) == target
    }
  }

  private mutating func setTied(_ isTied: Bool) {
    guard var object = configuration.objectValue else { return }
    object["tie_word_embeddings"] = .bool(isTied)
    configuration = .object(object)
  }

  /// The tensors in canonical order, after every name and shape was compared with the configuration.
  private mutating func checked(
    _ tensors: [StoredTensor], _ architecture: any Architecture
  ) throws -> [StoredTensor] {
    var found = Dictionary(uniqueKeysWithValues: tensors.map { ($0.name, $0) })
    let required = Set(architecture.requiredTensors.map(\.name))
    let shapes = CheckpointLoader.shapes(architecture)
    var result: [StoredTensor] = []
    for name in architecture.tensorOrder {
      guard let tensor = found.removeValue(forKey: name) else {
        if name == architecture.tie?.output, configuration["tie_word_embeddings"]?.boolValue == true {
          continue
        }
        guard !required.contains(name) else { throw missing(name, architecture) }
        continue
      }
      guard let shape = shapes[name], tensor.shape == shape else {
        throw ModelError(
          .wrongShape, source.path,
          "tensor '\(name)' is \(tensor.shapeText); the configuration asks for \(StoredTensor.text(shapes[name] ?? []))"
        )
      }
      guard tensor.format.isWeight else {
        throw ModelError(
          .unsupported, source.path,
          "tensor '\(name)' is stored as \(tensor.format.rawValue), which holds no weights")
      }
      result.append(tensor)
    }
    if let extra = tensors.first(where: { found[$0.name] != nil }) { throw stray(extra.name, extra) }
    return result
  }

  private func missing(_ name: String, _ architecture: any Architecture) -> ModelError {
    let file =
      source.container == .gguf ? architecture.ggufName(of: name).map { " ('\($0)' in GGUF)" } ?? "" : ""
    return ModelError(
      .missingTensor, source.path, "tensor '\(name)'\(file) is missing; is the checkpoint complete?")
  }

  // MARK: Tokenizer

  /// The tokenizer, if its size fits the embedding: padding rows are common, missing rows are an error.
  private mutating func tokenizer(rows: Int?) throws -> (any Tokenizer)? {
    guard let rows else {
      do { return try TokenizerList.tokenizer(of: source) } catch {
        notes.append("the tokenizer is not read: \(error)")
        return nil
      }
    }
    guard let tokenizer = try TokenizerList.tokenizer(of: source) else {
      notes.append("no tokenizer: not evaluated on text")
      return nil
    }
    let size = tokenizer.vocabularySize
    guard size <= rows, size * 2 >= rows else {
      throw ModelError(
        .tokenizerMismatch, source.path,
        "the tokenizer has \(size) tokens, the model's embedding \(rows) rows; name the right one with --tokenizer"
      )
    }
    if size < rows { notes.append("the vocabulary is padded from \(size) to \(rows) rows") }
    return tokenizer
  }
}
