import java.nio.file.Path;
import java.util.List;
import java.util.Map;

import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.index.mapper.MapperExtrasPlugin;
import org.elasticsearch.node.InternalSettingsPreparer;
import org.elasticsearch.node.Node;
import org.elasticsearch.reindex.ReindexPlugin;
import org.elasticsearch.transport.Netty4Plugin;

/**
 * One node of a real Elasticsearch, from the jars of its own project: no distribution of it can be had from a Maven repository.
 * The only argument is the folder with elasticsearch.yml. SIGTERM closes the node in order.
 */
final class TestNode extends Node {
	private TestNode(Environment environment) {
		super(environment, List.of(Netty4Plugin.class, MapperExtrasPlugin.class, ReindexPlugin.class), false);
	}

	public static void main(String[] arguments) throws Exception {
		Path config = Path.of(arguments[0]);
		Settings home = Settings.builder().put("path.home", config.getParent()).build(); // wanted before the file is read
		Environment environment = InternalSettingsPreparer.prepareEnvironment(home, Map.of(), config, () -> "test");
		TestNode node = new TestNode(environment);
		Runtime.getRuntime().addShutdownHook(new Thread(() -> {
			try {
				node.close();
			} catch (Exception failure) {
				failure.printStackTrace();
			}
		}));
		node.start();
		Thread.currentThread().join(); // the node's own threads do not keep the machine alive
	}
}
