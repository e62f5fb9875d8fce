import TensorCore

/// A BERT encoder taken apart.
///
/// The steps of a block: query, key and value; the attention's output; intermediate; output.
package struct BlockwiseBert: BlockwiseModel {
  let configuration: BertConfiguration
  private let table: TensorTable

  init(_ architecture: BertArchitecture) {
    configuration = architecture.configuration
    table = architecture.table
  }

  package var hiddenWidth: Int { configuration.hiddenSize }
  package var addsOutputs: Bool { false }
  package var blockCount: Int { configuration.blockCount }
  package var embeddingNames: [String] {
    table.entries.map(\.name).filter { $0.hasPrefix("embeddings.") }
  }
  package var outputName: String? { nil }
  package var outputNormNames: [String] { [] }

  package func tensorNames(ofBlock index: Int) -> [String] {
    table.entries.map(\.name).filter { $0.hasPrefix("encoder.layer.\(index).") }
  }

  package func steps(ofBlock index: Int) -> [BlockStep] {
    let name = "encoder.layer.\(index)."
    let attention = name + "attention.self."
    // A norm's output goes into the residual stream as well: only the values can take a scale.
    return [
      BlockStep(
        layers: ["query", "key", "value"].map { attention + $0 + ".weight" }, inputWidth: hiddenWidth),
      BlockStep(
        layers: [name + "attention.output.dense.weight"], inputWidth: hiddenWidth,
        scaledBy: ["weight", "bias"].map { attention + "value." + $0 }),
      BlockStep(layers: [name + "intermediate.dense.weight"], inputWidth: hiddenWidth),
      BlockStep(layers: [name + "output.dense.weight"], inputWidth: configuration.intermediateSize),
    ]
  }

  package func embed(
    _ tokens: [Int], tensors: TensorLookup, into hidden: UnsafeMutablePointer<Float>
  ) throws {
    try BertEmbedding(tensors).embed(
      tokens, positions: Array(tokens.indices), configuration: configuration, into: hidden)
  }

  package func makeBlock(_ index: Int, tensors: TensorLookup) throws -> any RunnableBlock {
    RunnableBertBlock(
      runner: BertBlockRunner(configuration), block: try BertModel.Block(tensors, index: index))
  }

  package func outputInput(
    hidden: UnsafePointer<Float>, tokens: Int, tensors: TensorLookup, into x: UnsafeMutablePointer<Float>
  ) { x.update(from: hidden, count: tokens * hiddenWidth) }
}

/// One block of a BERT encoder.
struct RunnableBertBlock: RunnableBlock {
  let runner: BertBlockRunner
  let block: BertModel.Block

  func input(
    ofStep step: Int, hidden: UnsafePointer<Float>, sequences: [Range<Int>],
    into x: UnsafeMutablePointer<Float>
  ) {
    let tokens = sequences.last?.upperBound ?? 0
    switch step {
    case 0, 2: x.update(from: hidden, count: tokens * runner.configuration.hiddenSize)
    case 1: runner.attend(block, hidden: hidden, sequences: sequences, into: x)
    default: runner.feedForward(block, hidden: hidden, tokens: tokens, into: x)
    }
  }

  func finish(step: Int, x: UnsafePointer<Float>, tokens: Int, hidden: UnsafeMutablePointer<Float>) {
    guard step == 1 || step == 3 else { return }
    runner.finish(
      step == 1 ? block.attentionOutput : block.down, step == 1 ? block.attentionNorm : block.outputNorm, x,
      tokens: tokens, hidden: hidden)
  }
}

extension BertArchitecture: BlockwiseArchitecture {
  package func makeBlockwise() -> any BlockwiseModel { BlockwiseBert(self) }
}
