import Foundation
import ModelFiles
import Models
import TensorCore
import Testing
import TestSupport
import Training

/// A tiny random model with its graph, from the fixtures of the models' tests.
struct TinyStudent {
  static let names = [
    "llama-tied", "llama-bias", "llama-mqa", "llama-head-dim", "llama-linear", "llama-llama3", "llama-yarn",
    "mistral", "qwen2", "qwen2-window", "qwen3",
  ]

  let checkpoint: Checkpoint
  let layout: ParameterLayout
  let configuration: LlamaConfiguration

  /// The checkpoint of a folder.
  static func checkpoint(_ name: String) throws -> Checkpoint {
    let folder =
      URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().path
      + "/ModelsTests/Fixtures/models/\(name)"
    var source = try SafetensorsFile.read(MappedFile(path: folder + "/model.safetensors"))
    source.path = folder
    let file = try MappedFile(path: folder + "/config.json")
    source.configuration = try withExtendedLifetime(file) { try JSONValue(parsing: file.region.buffer) }
    for kind in [TokenizerFile.Kind.sentenceTransformers, .pooling] {
      guard let file = try? MappedFile(path: folder + "/" + kind.rawValue) else { continue }
      source.tokenizerFiles.append(TokenizerFile(kind: kind, path: file.path, contents: file.region))
    }
    return try Checkpoint.load(source)
  }

  init(_ name: String) throws {
    checkpoint = try TinyStudent.checkpoint(name)
    layout = ParameterLayout(checkpoint)
    let architecture = try #require(checkpoint.architecture as? LlamaArchitecture)
    configuration = architecture.configuration
  }

  /// A trainer that brings a student, its teacher but for noise, back to it on short documents: 40 steps unless `change` says
  /// otherwise.
  static func trainer(_ change: (inout TrainingSettings) -> Void) throws -> Trainer {
    let student = try TinyStudent("llama-tied")
    var generator = SeededGenerator(seed: 2)
    let weights = try student.weights(Float.self)
    for place in 0..<weights.count { weights.base[place] += 0.1 * Float(generator.uniform() - 0.5) }
    let start = try student.layout.storing(weights, in: student.checkpoint)
    let lengths = Array(repeating: [20, 31, 8, 40], count: 24).flatMap { $0 }
    var settings = TrainingSettings()
    settings.steps = 40
    settings.batchTokens = 256
    settings.learningRate = 3e-3
    change(&settings)
    return try Trainer(
      student: start, teacher: student.checkpoint, documents: student.example(lengths, seed: 3).documents,
      heldOut: student.example([30, 24], seed: 4).documents, settings: settings)
  }

  func graph<Number>(_ type: Number.Type) throws -> LlamaGraph<Number> {
    try LlamaGraph(configuration, layout: layout, isTied: checkpoint.isTied)
  }

  func weights<Number: TrainingNumber>(_ type: Number.Type) throws -> NumberBuffer<Number> {
    NumberBuffer(try layout.weights(of: checkpoint).array.map { Number($0) })
  }

  /// The loss of documents against given teacher's logits, and its gradient.
  func loss<Number: TrainingNumber>(
    _ kind: DistillationLoss, _ documents: [[Int]], teacher: [Float], weights: NumberBuffer<Number>,
    recomputes: Bool = false, partTokens: Int = 1024, rounding: ActivationRounding? = nil
  ) throws -> (loss: Double, gradient: NumberBuffer<Number>) {
    var graph = try graph(Number.self)
    graph.recomputes = recomputes
    graph.rounding = rounding
    var step = GradientStep(graph, loss: kind)
    step.partTokens = partTokens
    let gradient = NumberBuffer<Number>(layout.count)
    // A teacher whose last states are its logits: its output matrix is the identity.
    let vocabulary = configuration.vocabularySize
    let identity = NumberBuffer<Number>(
      (0..<vocabulary * vocabulary).map { $0 / vocabulary == $0 % vocabulary ? 1 : 0 })
    var starts = [0]
    for document in documents { starts.append(starts[starts.count - 1] + document.count) }
    let loss = step.run(
      documents, weights: weights.base,
      teacher: { _, part in
        let rows = part.flatMap { teacher[starts[$0] * vocabulary..<starts[$0 + 1] * vocabulary] }
        return (NumberBuffer(rows.map { Number($0) }), UnsafePointer(identity.base), vocabulary)
      }, into: gradient)
    withExtendedLifetime(identity) {}
    return (loss, gradient)
  }

  /// Documents and a teacher's logits, seeded.
  func example(_ lengths: [Int], seed: UInt64 = 1) -> (documents: [[Int]], teacher: [Float]) {
    var generator = SeededGenerator(seed: seed)
    let vocabulary = configuration.vocabularySize
    let documents = lengths.map { length in
      (0..<length).map { _ in Int(generator.uniform() * Double(vocabulary)) }
    }
    let count = lengths.reduce(0, +) * vocabulary
    return (documents, (0..<count).map { _ in Float(generator.uniform() * 6 - 3) })
  }
}
