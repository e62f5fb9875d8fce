import ModelFiles
import Models
import TensorCore

/// The speed of distillation on this machine, on random models of fixed shapes: `Tests/Performance/training.py` measures the same in
/// PyTorch.
public struct TrainingBenchmark: Sendable {
  /// Seconds of each step, the first left out.
  public var seconds: [Double]
  /// The tokens of a step.
  public var tokens: Int
  /// The multiplications and additions of a step's matrix products.
  public var operations: Double

  /// The tokens that the fastest step has a second.
  public var tokensPerSecond: Double { Double(tokens) / (seconds.min() ?? .infinity) }

  private struct Shape {
    var layers, width, heads, keyHeads, inner: Int
    static let vocabulary = 4096

    var json: JSONValue {
      .object(
        JSONObject([
          ("model_type", .string("llama")), ("hidden_size", .integer(width)),
          ("intermediate_size", .integer(inner)), ("num_hidden_layers", .integer(layers)),
          ("num_attention_heads", .integer(heads)), ("num_key_value_heads", .integer(keyHeads)),
          ("vocab_size", .integer(Shape.vocabulary)), ("max_position_embeddings", .integer(256)),
          ("tie_word_embeddings", .bool(true)),
        ]))
    }

    /// The weights that a token is multiplied with.
    var matrixWeights: Double {
      let attention = width * width * 2 + 2 * width * width * keyHeads / heads
      return Double(layers * (attention + 3 * width * inner) + width * Shape.vocabulary)
    }
  }

  private static let student = Shape(layers: 6, width: 384, heads: 6, keyHeads: 3, inner: 1024)
  private static let teacher = Shape(layers: 12, width: 512, heads: 8, keyHeads: 4, inner: 1408)
  private static let sequences = 8
  private static let context = 256

  /// Takes `steps` steps after a first one: batches of 8 × 256 tokens, forward KL, AdamW, a teacher that is asked each time.
  ///
  /// - Parameter rounds: whether products are of bfloat16 numbers.
  public static func run(steps: Int, rounds: Bool) throws -> TrainingBenchmark {
    let (student, teacher) = (try checkpoint(student, seed: 1), try checkpoint(teacher, seed: 2))
    var settings = TrainingSettings()
    settings.steps = steps + 1
    var generator = SeededGenerator(seed: 3)
    let layout = ParameterLayout(student)
    guard let architecture = student.architecture as? LlamaArchitecture else {
      throw TrainingError("the benchmark's model is no llama")
    }
    var graph = try LlamaGraph<Float>(architecture.configuration, layout: layout, isTied: true)
    graph.rounds = rounds
    let goal = try TeacherModel(teacher, memory: 0, rounds: rounds)
    let weights = try layout.weights(of: student)
    let (gradients, optimizer) = (NumberBuffer<Float>(layout.count), AdamW(layout, settings))
    var seconds: [Double] = []
    ReusedMemory.keeping(most: Trainer.reusedMemory) {
      for step in 0...steps {
        let batch = (0..<sequences).map { _ in
          (0..<context).map { _ in Int(generator.uniform() * Double(Shape.vocabulary)) }
        }
        let begin = ContinuousClock.now
        _ = GradientStep(graph, loss: settings.loss).run(
          batch, weights: weights.base,
          teacher: { part, places in
            (goal.states(of: part, documents: places.map { _ in -1 }), goal.matrix, goal.width)
          }, into: gradients)
        _ = optimizer.update(weights, gradients, rate: 1e-4)
        let elapsed = (ContinuousClock.now - begin).components
        if step > 0 { seconds.append(Double(elapsed.seconds) + Double(elapsed.attoseconds) * 1e-18) }
      }
    }
    let tokens = sequences * context
    let weightsRead = 6 * Self.student.matrixWeights + 2 * Self.teacher.matrixWeights
    return TrainingBenchmark(seconds: seconds, tokens: tokens, operations: weightsRead * Double(tokens))
  }

  private static func checkpoint(_ shape: Shape, seed: UInt64) throws -> Checkpoint {
    let architecture = try LlamaArchitecture(configuration: shape.json)
    var generator = SeededGenerator(seed: seed)
    let tensors = architecture.requiredTensors.map { name, shape in
      let count = shape.reduce(1, *)
      let values = (0..<count).map { _ in shape.count > 1 ? Float(generator.uniform() - 0.5) * 0.07 : 1 }
      var tensor = StoredTensor(name: name, vector: values)
      tensor.shape = shape
      return tensor
    }
    return Checkpoint(
      name: "benchmark", architecture: architecture, configuration: shape.json, tensors: tensors,
      isTied: true, tokenizer: nil,
      source: ModelSource(container: .safetensors, path: "benchmark", files: [], tensors: tensors))
  }
}
